"""What is said of runs that are not finite: the step, and the hyper-parameters."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from metaopt import dynamics
from metaopt.domains import Positive
from metaopt.estimators import ForwardMode, FullBackprop, OnlineForwardMode
from metaopt.estimators.nonfinite import explain
from metaopt.horizons import Endless, Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training
from metaopt.hyperparameters import Hyperparameter
from taskset.families.quadratic import QuadraticFamily

KEY = jax.random.key(0)
LAST_FINITE = 7


@dataclasses.dataclass(frozen=True)
class Cliff(Training):
    """Parameters double at every step; the loss is infinite, or has no slope, beyond a size."""

    kind: str = "loss"

    def hyperparameters(self):
        return {"rate": Hyperparameter(1.0, Positive()), "other": Hyperparameter(1.0, Positive())}

    def init(self, values, task, key):
        return jnp.ones(2)

    def inner_loss(self, values, task, params, batch, key):
        edge = jnp.where(params > 2.0**LAST_FINITE - 0.5, jnp.inf, 1.0)
        squares = jnp.sum(jnp.square(params) * (edge if self.kind == "loss" else 1.0))
        return -0.5 * squares * values["other"]

    def outer_loss(self, values, task, params, batch, key):
        if self.kind == "slope":  # a square root has none at 0
            return jnp.sqrt(jnp.sum(jnp.square(0 * params * values["rate"])))
        return jnp.sum(params)

    def dynamics(self, values):
        return dynamics.GradientDescent(values["rate"])


def explained(estimator, **changes):
    data = estimator.problem.load_data()
    meta_params = {name: jnp.zeros(()) for name in estimator.problem.hyperparameters()} | changes
    return explain(estimator, meta_params, data, KEY)


def problem(kind):
    return HyperparameterTraining(QuadraticFamily(2), Cliff(kind))


def test_the_first_step_is_named():
    found = explained(FullBackprop(problem("loss"), 2, Fixed(20), objective="final"))
    step = LAST_FINITE + 1
    assert found.startswith(f"2 of 2 runs: the parameters are not finite after inner step {step};")
    assert "hyper-gradients that are not finite: other, rate" in found and "start from" in found


def test_of_runs_that_go_on_a_new_one_is_followed():
    found = explained(OnlineForwardMode(problem("loss"), 2, 5, Endless()))
    step = LAST_FINITE + 1
    assert found.startswith(f"a new run: the parameters are not finite after inner step {step};")


def test_derivatives_alone_are_named():
    found = explained(ForwardMode(problem("slope"), 1, Fixed(3)))
    assert "1 of 1 runs: the runs are finite, and their derivatives are not" in found
    assert "not finite: other, rate;" in found


def test_hyperparameters_that_are_not_finite_are_named_first():
    estimator = FullBackprop(problem("loss"), 1, Fixed(2), objective="final")
    found = explained(estimator, other=jnp.float32(np.nan))
    assert found.startswith("hyper-parameters that are not finite: other;")


def test_nothing_is_said_of_runs_that_are_finite():
    assert explained(FullBackprop(problem("loss"), 1, Fixed(3), objective="final")) == ""
