"""Runs of any dynamics, backwards from a tape: to the bit, and as short as it can be."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from entropies import entropy
from ridge import ridge
from toys import Line

from metaopt import dynamics
from metaopt.domains import Positive
from metaopt.estimators import FullBackprop, TapedBackprop
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training
from metaopt.hyperparameters import Hyperparameter
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.hand_designed import LearnableAdam
from metaopt.reversible import entropy_coder
from taskset.errors import InputError
from taskset.families.mlp import MLPFamily
from taskset.families.quadratic import QuadraticFamily

pytest.importorskip("constriction")  # which there is not for Linux on ARM

KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Descent(Training):
    """What loses all that it forgets."""

    def hyperparameters(self):
        return {"rate": Hyperparameter(0.05, Positive())}

    def dynamics(self, values):
        return dynamics.GradientDescent(values["rate"])


LEARNED = LearnableAdam(learning_rate=0.05)
PROBLEMS = {
    "minibatches": ridge("descent", batches="sampled"),
    "no_momentum_left": HyperparameterTraining(QuadraticFamily(6), Descent()),
    "learned_optimizer": OptimizerTraining(QuadraticFamily(6), LEARNED),
}


def start(problem, data):
    if isinstance(problem, OptimizerTraining):
        return problem.optimizer.init(KEY)
    return problem.start(data, KEY)


def estimate_of(estimator):
    data = estimator.problem.load_data()
    meta_params = start(estimator.problem, data)
    return jax.jit(estimator.estimate)(meta_params, (), data, KEY)[0]


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_reaches_the_start_and_the_gradient(problem):
    found = estimate_of(TapedBackprop(problem, 2, Fixed(24), predictions=2, room=40.0, block=8))
    assert float(found.metrics["inexact_runs"]) == float(found.metrics["overflowed_runs"]) == 0
    assert float(found.weight) == 2
    full = estimate_of(FullBackprop(problem, 2, Fixed(24), objective="final"))
    np.testing.assert_allclose(found.meta_loss, full.meta_loss, rtol=1e-3)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    jax.tree.map(close, found.gradient, full.gradient)
    assert any(np.any(g) for g in jax.tree.leaves(full.gradient))


def test_small_steps_leave_little_on_the_tape(monkeypatch):
    """Less than .1 bits a number and step, of an entropy that it is close to; large steps, > 5."""
    task = MLPFamily(hidden=(20, 20), activation="tanh")
    problem = HyperparameterTraining(task, Descent(), inner_batch="whole")
    estimator = TapedBackprop(problem, 1, Fixed(20), block=10, room=40.0)
    data = problem.load_data()
    estimate = jax.jit(estimator.estimate)
    encode, residuals = entropy_coder.encode, []

    def recorded(integers):
        residuals.append(np.array(integers))
        return encode(integers)

    monkeypatch.setattr(entropy_coder, "encode", recorded)

    def bits_and_entropy(rate):
        residuals.clear()
        meta_params = {"rate": jnp.log(jnp.float32(rate))}
        found = jax.block_until_ready(estimate(meta_params, (), data, KEY)[0])
        assert float(found.weight) == 1
        return float(found.metrics["tape_bits"]), entropy(np.concatenate(residuals))

    bits, least = bits_and_entropy(0.05)
    assert bits < 0.1 and bits < 1.1 * least + 0.01
    bits, least = bits_and_entropy(0.3)
    assert 5 < bits < 1.1 * least


@dataclasses.dataclass(frozen=True)
class Soaring(Descent):
    """Steps that lead to numbers of any size."""

    def inner_loss(self, values, task, params, batch, key):
        return -4.0 * jnp.sum(params) / values["rate"]


@pytest.mark.parametrize(
    ("problem", "changes"),
    [
        (HyperparameterTraining(QuadraticFamily(200), Descent()), {"room": 2.0, "predictions": 0}),
        (HyperparameterTraining(QuadraticFamily(6), Soaring()), {}),
    ],
    ids=["a_tape_too_short", "numbers_too_large"],
)
def test_what_does_not_fit_is_counted_and_has_no_weight(problem, changes):
    found = estimate_of(TapedBackprop(problem, 2, Fixed(20), **changes))
    assert float(found.metrics["overflowed_runs"]) == 2 and float(found.weight) == 0
    assert float(found.gradient["rate"]) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TapedBackprop(Line()), "Line has a state that tapes do not know"),
        (lambda: TapedBackprop(ridge(), predictions=-1), "predictions is -1; it must be at least"),
        (lambda: TapedBackprop(ridge(), room=0.0), r"room is 0\.0; it must be positive"),
        (lambda: TapedBackprop(ridge(), fraction=29), "fraction is 29; it must be from 1 to 28"),
        (lambda: TapedBackprop(ridge(), horizon=Fixed(9), block=2), "block is 2, and runs have 9"),
    ],
    ids=["problem", "predictions", "room", "fraction", "block"],
)
def test_what_no_tape_can_be_made_for_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
