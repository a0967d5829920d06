"""Runs backwards: to the bit on losses that compilers like to rearrange, and in little memory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ridge import ridge
from toys import Line

from metaopt import dynamics
from metaopt.domains import Between, Positive
from metaopt.estimators import FullBackprop, ReversibleBackprop
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training
from metaopt.hyperparameters import Hyperparameter
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily

KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Adversarial(Training):
    """Square roots of sums, odd powers, products with rounding of their own; noise by key."""

    kind: str = "momentum"
    schedule: int = 0
    decay: float = 0.9

    def hyperparameters(self):
        return {
            "rate": Hyperparameter(0.05, Positive(), (self.schedule,) if self.schedule else ()),
            "penalty": Hyperparameter(0.1, Positive()),
            "decay": Hyperparameter(self.decay, Between(0.0, 1.0)),
        }

    def inner_loss(self, values, task, params, batch, key):
        noisy = params + 0.1 * jax.random.normal(key, params.shape, params.dtype)
        product = jnp.tanh(jnp.outer(noisy, params)) @ jnp.cos(params)
        root = jnp.sqrt(jnp.sum(jnp.square(product)) + 1e-3)
        powers = jnp.sum(jnp.abs(params) ** 1.5) + jnp.sum(jnp.logaddexp(params, -3 * params))
        return root + values["penalty"] * powers

    def dynamics(self, values):
        if self.kind == "adam":
            return dynamics.Adam(values["rate"], values["decay"])
        return dynamics.Momentum(values["rate"], values["decay"], damped=self.kind == "damped")


def estimate_of(estimator, **changes):
    data = estimator.problem.load_data()
    meta_params = estimator.problem.start(data, KEY) | changes
    return jax.jit(estimator.estimate)(meta_params, (), data, KEY)[0]


@pytest.mark.parametrize(
    ("training", "precision", "num_steps"),
    [
        (Adversarial(schedule=400), "int64", 400),
        (Adversarial("damped", decay=0.5), "int32", 400),
        (Adversarial("adam"), "int64", 200),
    ],
    ids=["schedule_int64", "damped_int32", "adam_int64"],
)
def test_reaches_the_start_to_the_bit(training, precision, num_steps):
    problem = HyperparameterTraining(QuadraticFamily(6), training)
    found = estimate_of(ReversibleBackprop(problem, 3, Fixed(num_steps), precision=precision))
    assert float(found.metrics["inexact_runs"]) == float(found.metrics["overflowed_runs"]) == 0
    assert float(found.weight) == 3
    assert all(float(jnp.linalg.norm(g)) > 0 for g in found.gradient.values())


def test_numbers_too_large_are_counted_and_have_no_weight():
    problem = ridge("momentum")
    estimator = ReversibleBackprop(problem, 2, Fixed(60), precision="int32")
    found = estimate_of(estimator, rate=jnp.float32(3.0))
    assert float(found.metrics["overflowed_runs"]) == 2 and float(found.weight) == 0
    assert all(not np.any(g) for g in found.gradient.values())


@dataclasses.dataclass(frozen=True)
class Glitch(Training):
    """A loss that is no function of its arguments: call 31 of all has a slope of its own."""

    slope: float = 1e-6

    def hyperparameters(self):
        return {"penalty": Hyperparameter(0.1, Positive())}

    def inner_loss(self, values, task, params, batch, key):
        def slope(_):
            CALLS.append(1)
            return np.float32(self.slope if len(CALLS) == 31 else 0.0)

        shape = jax.ShapeDtypeStruct((), jnp.float32)
        at = jax.lax.stop_gradient(params[0])
        wrong = jax.pure_callback(slope, shape, at, vmap_method="sequential")
        squares = jnp.sum(jnp.square(params))
        return jnp.sum(jnp.cos(params)) + values["penalty"] * squares + wrong * jnp.sum(params)

    def dynamics(self, values):
        return dynamics.Momentum(0.1, 0.625)


CALLS = []


def test_a_fault_stays_within_its_segment():
    problem = HyperparameterTraining(QuadraticFamily(6), Glitch())

    def found(segment):
        CALLS.clear()
        return estimate_of(ReversibleBackprop(problem, 1, Fixed(60), segment=segment))

    lost, kept = found(0), found(20)
    assert float(lost.metrics["inexact_runs"]) == 1 and float(lost.weight) == 0
    assert float(kept.metrics["inexact_runs"]) == 0 and float(kept.weight) == 1
    assert float(kept.metrics["inexact_segments"]) == 1
    plain = HyperparameterTraining(QuadraticFamily(6), Glitch(slope=0.0))
    expected = estimate_of(FullBackprop(plain, 1, Fixed(60), objective="final"))
    np.testing.assert_allclose(kept.gradient["penalty"], expected.gradient["penalty"], rtol=1e-3)
    exact = estimate_of(ReversibleBackprop(plain, 1, Fixed(60), segment=15))
    assert float(exact.metrics["inexact_segments"]) == 0 and float(exact.weight) == 1


def test_a_decay_below_the_one_that_room_was_made_for_is_counted():
    problem = ridge("momentum")
    estimator = ReversibleBackprop(problem, 1, Fixed(400), least_decay=0.99)
    found = estimate_of(estimator, rate=jnp.float32(-8.0), decay=jnp.float32(-2.0))
    assert float(found.metrics["overflowed_runs"]) == 1 and float(found.weight) == 0


@dataclasses.dataclass(frozen=True)
class Large(Adversarial):
    """Of many parameters, with a known decay."""

    def hyperparameters(self):
        return {"rate": Hyperparameter(0.05, Positive())}

    def inner_loss(self, values, task, params, batch, key):
        return task.loss(jnp.sin(params), batch, key)

    def dynamics(self, values):
        return dynamics.Momentum(values["rate"], 0.9)


def test_memory_of_a_long_run():
    """In copies of the parameters, by the compiler's report, at 1,600 steps."""
    problem = HyperparameterTraining(QuadraticFamily(10_000), Large())
    data = problem.load_data()
    meta_params = problem.start(data, KEY)

    def copies(estimator):
        program = jax.jit(estimator.estimate).lower(meta_params, (), data, KEY).compile()
        return program.memory_analysis().temp_size_in_bytes / 40_000

    plain, sqrt = (
        copies(FullBackprop(problem, 1, Fixed(1600), objective="final", remat=remat))
        for remat in ("none", "sqrt")
    )
    wide, narrow = (
        copies(ReversibleBackprop(problem, 1, Fixed(1600), precision=precision))
        for precision in ("int64", "int32")
    )
    assert plain > 200 * wide > 200 * narrow
    assert sqrt > 3 * wide


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReversibleBackprop(Line()), "Line has steps that cannot be undone"),
        (lambda: ReversibleBackprop(ridge(), least_decay=0.0), r"least_decay is 0\.0; it must be"),
        (
            lambda: ReversibleBackprop(ridge(), horizon=Fixed(9), segment=2),
            "segment is 2, and runs",
        ),
        (
            lambda: estimate_of(ReversibleBackprop(ridge("descent"), 1, Fixed(3))),
            "GradientDescent cannot be run backwards; use Momentum or Adam",
        ),
    ],
    ids=["problem", "least_decay", "segment", "dynamics"],
)
def test_what_cannot_be_undone_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
