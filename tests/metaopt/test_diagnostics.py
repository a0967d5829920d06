"""The noise of an outer gradient, against the gradients of single runs."""

import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.aggregate import weighted_mean
from metaopt.diagnostics import gradient_noise
from metaopt.estimators.base import CLEAREST, mean_of_runs

GRADIENTS = np.random.RandomState(0).randn(24, 5).astype(np.float32) + 0.7
USABLE = np.arange(24) % 5 != 0


def estimate(runs):
    """Of `runs`; the gradients of those that are not usable are infinite."""
    usable = USABLE[runs]
    values = jnp.where(usable[:, None], GRADIENTS[runs], jnp.inf)
    tree = {"w": values[:, :4].reshape(-1, 2, 2), "b": values[:, 4]}
    return mean_of_runs(tree, jnp.zeros(len(runs)), jnp.asarray(usable))


def test_variance_and_signal_are_those_of_the_runs():
    noise = gradient_noise(estimate(np.arange(24)))
    used = GRADIENTS[USABLE].astype(np.float64)
    variance = used.var(axis=0, ddof=1).sum()
    assert noise.variance == pytest.approx(variance, rel=1e-4)
    mean_variance = variance / len(used)
    signal = np.sum(used.mean(0) ** 2) - mean_variance
    assert noise.signal_to_noise == pytest.approx(signal / mean_variance, rel=1e-3)


def test_the_cosine_is_that_of_random_halves():
    """The ratio of the means over halves: of their product, and of their squared norms."""
    used = GRADIENTS[USABLE][:18].astype(np.float64)
    rng = np.random.RandomState(1)
    products, squares = [], []
    for _ in range(4000):
        order = rng.permutation(18)
        first, second = used[order[:9]].mean(0), used[order[9:]].mean(0)
        products.append(first @ second)
        squares.append((first @ first + second @ second) / 2)
    runs = np.flatnonzero(USABLE)[:18]
    assert gradient_noise(estimate(runs)).cosine == pytest.approx(
        np.mean(products) / np.mean(squares), abs=0.01
    )


def test_the_noise_over_workers_is_that_of_all_runs():
    together = gradient_noise(estimate(np.arange(24)))
    workers = weighted_mean([estimate(np.arange(10)), estimate(np.arange(10, 24))])
    np.testing.assert_allclose(gradient_noise(workers)[:3], together[:3], rtol=1e-4)


def test_clear_coordinates_are_those_beyond_two_standard_errors():
    used = GRADIENTS[USABLE].astype(np.float64)
    errors = np.abs(used.mean(0)) / np.sqrt(used.var(axis=0, ddof=1) / len(used))
    noise = gradient_noise(estimate(np.arange(24)))
    assert noise.clear_share == pytest.approx(np.mean(errors > 2)) and 0 < noise.clear_share < 1
    assert noise.clearest == pytest.approx(errors.max(), rel=1e-4)


def test_pure_noise_is_clear_in_a_twentieth_of_the_coordinates():
    noise = np.random.RandomState(2).randn(400, 2000).astype(np.float32)
    found = gradient_noise(mean_of_runs(jnp.asarray(noise), jnp.zeros(400), jnp.ones(400, bool)))
    assert abs(found.clear_share - 0.0455) < 4 * np.sqrt(0.0455 * 0.9545 / 2000)


def test_equal_gradients_have_no_noise_and_one_run_says_nothing():
    same = mean_of_runs(jnp.full((6, 3), 2.0), jnp.zeros(6), jnp.ones(6, bool))
    assert gradient_noise(same) == (0.0, np.inf, 1.0, 1.0, CLEAREST)
    alone = mean_of_runs(jnp.full((6, 3), 2.0), jnp.zeros(6), jnp.arange(6) == 0)
    assert np.all(np.isnan(gradient_noise(alone)))
