"""Deviations that are learned: the derivative by them in closed form, and where they go."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.estimators import LearnedStddevES, TruncatedES, antithetic
from metaopt.estimators.learned_stddev import log_stddev_gradient
from metaopt.horizons import Fixed
from metaopt.inner_problem import InnerProblem
from taskset.base import NoData
from taskset.errors import InputError

THETA = {"matrix": jnp.full((2, 2), 0.3), "scalar": jnp.float32(-0.5)}
CURVATURE = {"matrix": 3.0, "scalar": -2.0}


@dataclasses.dataclass(frozen=True)
class Saddle(InnerProblem):
    """The loss of every step is a parabola of each tensor, one upright and one upside down."""

    def load_data(self):
        return NoData()

    def init(self, meta_params, data, key):
        return jnp.zeros(())

    def step(self, meta_params, state, data, key):
        return state, self.outer_loss(meta_params, state, data, key)

    def outer_loss(self, meta_params, state, data, key):
        return sum(0.5 * CURVATURE[name] * jnp.sum(x**2) for name, x in meta_params.items())


RUNS: dict[str, Any] = {"problem": Saddle(), "num_tasks": 16, "truncation": 2, "horizon": Fixed(4)}


@functools.cache
def compiled(estimator):
    return jax.jit(estimator.init), jax.jit(estimator.estimate)


def after(estimator, num_calls):
    """The last estimate and state."""
    init, call = compiled(estimator)
    state, estimate = init(THETA, NoData(), jax.random.key(0)), None
    for key in jax.random.split(jax.random.key(1), num_calls):
        estimate, state = call(THETA, state, NoData(), key)
    return estimate, state


def test_the_mean_of_many_is_the_derivative_of_the_smoothed_loss():
    """E loss = c (|p|^2 + n s^2) / 2 of a tensor, with the derivative c n s^2 by log s."""
    stddev = {"matrix": 0.1, "scalar": 0.4}

    def one(key):
        unit = antithetic.draw(jax.random.split(key, 8), THETA, 1.0, "independent")
        at = lambda z: jax.tree.map(lambda p, z, s: p + s * z, THETA, z, stddev)
        loss = lambda z: Saddle().outer_loss(at(z), None, None, None)
        mean = jax.vmap(lambda z: (loss(z) + loss(jax.tree.map(jnp.negative, z))) / 2)(unit)
        usable = jnp.arange(8) < 7
        losses = antithetic.PairLoss(mean, mean, usable, jnp.where(usable, mean, jnp.nan))
        return log_stddev_gradient(unit, losses)

    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 20_000))
    for name, samples in found.items():
        expected = CURVATURE[name] * THETA[name].size * stddev[name] ** 2
        error = np.std(samples) / np.sqrt(len(samples))
        assert abs(np.mean(samples) - expected) < 3 * error
        assert abs(expected) > 6 * error  # zero would not have passed


def test_at_rate_zero_it_is_truncated_es():
    learned, _ = after(LearnedStddevES(**RUNS, stddev=0.05, stddev_rate=0.0), 2)
    plain, _ = after(TruncatedES(**RUNS, stddev=0.05), 2)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5)
    jax.tree.map(close, learned.gradient, plain.gradient)
    close(learned.meta_loss, plain.meta_loss)
    close(learned.metrics["stddev"], 16 * 0.05)


def test_deviations_shrink_in_a_valley_and_grow_on_a_ridge_up_to_their_limits():
    limits: dict[str, Any] = {"min_stddev": 0.05, "max_stddev": 1.0}
    estimator = LearnedStddevES(**RUNS, stddev=0.2, stddev_rate=0.5, **limits)
    _, state = after(estimator, 60)
    found = jax.tree.map(lambda log: np.unique(np.exp(log)), state.state.log_stddev)
    np.testing.assert_allclose(found["matrix"], 0.05, rtol=0.5)
    np.testing.assert_allclose(found["scalar"], 1.0, rtol=0.5)


def test_the_gradient_is_that_of_the_present_deviations():
    """Of a parabola antithetic ES has the mean c p, whatever they are."""
    _, state = after(LearnedStddevES(**RUNS, stddev=0.2, stddev_rate=0.5), 20)
    many = dataclasses.replace(LearnedStddevES(**RUNS, stddev=0.2), num_tasks=4096)
    widened = jax.tree.map(lambda log: jnp.full(4096, log[0]), state.state.log_stddev)
    start = compiled(many)[0](THETA, NoData(), jax.random.key(0))
    start = start._replace(state=start.state._replace(log_stddev=widened))
    estimate, _ = compiled(many)[1](THETA, start, NoData(), jax.random.key(3))
    error = np.sqrt(float(estimate.metrics["squared_norms"]) / 4096 / 4096)
    for name, gradient in estimate.gradient.items():
        expected = CURVATURE[name] * THETA[name]
        assert np.all(np.abs(gradient - expected) < 4 * error)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stddev": 2.0}, "stddev is 2.0; it must be from min_stddev, 0.0001"),
        ({"min_stddev": 0.0}, "stddev is 0.01; it must be from min_stddev, 0.0, above 0"),
        ({"stddev_rate": -1.0}, "stddev_rate is -1.0; it must be at least 0"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        LearnedStddevES(**RUNS, **wrong)
