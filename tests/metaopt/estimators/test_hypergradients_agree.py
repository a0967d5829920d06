"""All methods that compute the same thing on one problem, against each other and closed forms."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ridge import DIM, RegressionFamily, Ridge, ridge
from toys import starting_together

from metaopt.domains import Positive
from metaopt.estimators import (
    ForwardMode,
    FullBackprop,
    FullES,
    Implicit,
    ReversibleBackprop,
)
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.hyperparameters import Hyperparameter
from metaopt.learned_optimizers.hand_designed import LearnableMomentum
from metaopt.linear_solvers import GMRES, ConjugateGradient, Neumann, Nystrom
from taskset.errors import InputError

pytestmark = pytest.mark.usefixtures("double_precision")

KEY = jax.random.key(0)
SHORT, LONG = 30, 600


@dataclasses.dataclass(frozen=True)
class Penalised(Ridge):
    """Only what has a part in where training ends."""

    kind: str = "descent"

    def hyperparameters(self):
        start = tuple(np.linspace(0.02, 0.5, DIM).tolist())
        return {
            "penalty": Hyperparameter(start, Positive(), (DIM,)),
            "scale": Hyperparameter(1.2, Positive()),
        }

    def init(self, values, task, key):
        return {"weight": jnp.zeros(DIM)}

    def dynamics(self, values):
        if self.kind == "learned":
            learned = LearnableMomentum(learning_rate=0.3, momentum=0.6)
            return learned.as_optax(learned.init(KEY))
        return super().dynamics({**values, "rate": 0.3, "decay": 0.6})


def penalised(kind="descent"):
    return HyperparameterTraining(RegressionFamily(), Penalised(kind), "whole")


def gradient_of(estimator, num_calls=1):
    """The last estimate; all runs are equal."""
    data = estimator.problem.load_data()
    meta_params = estimator.problem.start(data, KEY)
    state = starting_together(jax.jit(estimator.init)(meta_params, data, KEY))
    estimate = None
    for _ in range(num_calls):
        estimate, state = jax.jit(estimator.estimate)(meta_params, state, data, KEY)
    assert float(estimate.weight) == estimator.num_tasks
    return estimate


def check(found, expected, bound):
    for name, value in expected.items():
        error = np.linalg.norm(found[name] - value) / np.linalg.norm(value)
        assert error < bound, (name, error)


@pytest.mark.parametrize("kind", ["damped", "adam"])
def test_unrolls_agree(kind):
    """Backward, forward and reversed, of the start, penalties, schedule, decay and direct part."""
    problem = ridge(kind, schedule=SHORT)
    expected = gradient_of(FullBackprop(problem, 1, Fixed(SHORT), objective="final")).gradient
    assert all(float(jnp.linalg.norm(g)) > 1e-6 for g in expected.values())
    forward = gradient_of(ForwardMode(problem, 1, Fixed(SHORT))).gradient
    check(forward, expected, 1e-11)
    exact = gradient_of(ReversibleBackprop(problem, 1, Fixed(SHORT)))
    check(exact.gradient, expected, 1e-5)
    assert float(exact.metrics["inexact_runs"]) == 0


def closed_form(problem):
    """-(H^-1 dF/dw) penalty w at the minimum, and the direct part."""
    data = problem.load_data()
    meta_params = problem.start(data, KEY)
    values = {name: np.asarray(v) for name, v in problem.values(meta_params).items()}
    train, valid = (jax.tree.map(np.asarray, data.arrays[s]) for s in ("train", "outer_valid"))
    hessian = train["x"].T @ train["x"] / len(train["y"]) + np.diag(values["penalty"])
    weight = np.linalg.solve(hessian, train["x"].T @ train["y"] / len(train["y"]))
    residual = valid["x"] @ weight - valid["y"]
    slope = values["scale"] * valid["x"].T @ residual / len(residual)
    penalty = -np.linalg.solve(hessian, slope) * values["penalty"] * weight
    return {"penalty": penalty, "scale": values["scale"] * 0.5 * np.mean(residual**2)}


IMPLICIT = {
    "conjugate_gradient": ("descent", "stationary", ConjugateGradient(DIM), 1e-10),
    "neumann": ("descent", "stationary", Neumann(300), 1e-10),
    "nystrom": ("descent", "stationary", Nystrom(DIM, 1e-8), 1e-5),
    "fixed_point": ("descent", "fixed_point", Neumann(300, 1.0), 1e-10),
    "fixed_point_of_a_learned_optimizer": ("learned", "fixed_point", GMRES(2 * DIM), 1e-7),
    "fixed_point_of_momentum": ("momentum", "fixed_point", GMRES(2 * DIM), 1e-7),
}


@pytest.mark.parametrize(("kind", "condition", "solver", "bound"), IMPLICIT.values(), ids=IMPLICIT)
def test_implicit_differentiation_at_the_minimum(kind, condition, solver, bound):
    problem = penalised(kind)
    estimator = Implicit(
        problem, 2, truncation=LONG, horizon=Fixed(LONG), condition=condition, solver=solver
    )
    found = gradient_of(estimator)
    check(found.gradient, closed_form(problem), bound)
    assert float(found.metrics["stationarity"]) < 1e-10
    assert float(found.metrics["residual"]) < bound


def test_unrolls_become_implicit_with_time():
    expected = closed_form(penalised())
    unrolled = FullBackprop(penalised(), 1, Fixed(LONG), objective="final")
    check(gradient_of(unrolled).gradient, expected, 1e-8)


@pytest.mark.parametrize("num_steps", [1, 4, 11])
def test_the_last_steps_are_a_neumann_series(num_steps):
    """At a stationary point, by gradient descent with the step of the series."""
    last = FullBackprop(penalised(), 1, Fixed(LONG), objective="final", last_steps=num_steps)
    series = Implicit(penalised(), 1, LONG, Fixed(LONG), solver=Neumann(num_steps, step=0.3))
    check(gradient_of(series).gradient, gradient_of(last).gradient, 1e-11)


def test_evolution_agrees_within_its_noise():
    """With P numbers, N pairs have a standard error of sqrt((P + 1) / N) of the norm."""
    problem = penalised()
    with jax.enable_x64(False):
        backprop = FullBackprop(problem, 1, Fixed(SHORT), objective="final")
        exact = gradient_of(backprop).gradient
        evolution = FullES(problem, 20_000, Fixed(SHORT), stddev=0.01, objective="final")
        found = gradient_of(evolution).gradient
    flat = lambda tree: np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
    error = np.linalg.norm(flat(found) - flat(exact)) / np.linalg.norm(flat(exact))
    assert error < 3 * np.sqrt((DIM + 2) / 20_000)


def test_what_only_the_way_depends_on_is_refused():
    problem = ridge("descent")
    data = problem.load_data()
    meta_params = problem.start(data, KEY)
    estimator = Implicit(problem, 1, 3, Fixed(6))
    state = estimator.init(meta_params, data, KEY)
    with pytest.raises(InputError, match=r"'(weight|rate)' has no part in where training ends"):
        estimator.estimate(meta_params, state, data, KEY)


def test_a_solution_is_where_the_next_begins():
    """Two products a call: after four, with nothing changed, as good as eight."""
    calls = lambda n: Implicit(penalised(), 1, LONG, Fixed(10 * LONG), solver=Neumann(n, step=0.3))
    warm, cold = gradient_of(calls(2), 4), gradient_of(calls(8))
    check(warm.gradient, cold.gradient, 1e-8)
