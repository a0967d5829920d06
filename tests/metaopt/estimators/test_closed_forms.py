"""Means and variances of every estimator on problems whose gradient is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Line, LinearLosses, starting_together

from metaopt.estimators import (
    GPES,
    FullBackprop,
    FullES,
    InverseVariance,
    NoiseReuseES,
    PersistentES,
    PersistentESWithBackprop,
    Reparameterised,
    TruncatedBackprop,
    TruncatedES,
)
from metaopt.horizons import Fixed
from taskset.base import NoData

THETA = jnp.float32(0.7)
LENGTH, TRUNCATION, NUM_TASKS = 8, 3, 40_000
# Per truncation of a run of 8: steps 0-2, 3-5, 6-7. The last is of two steps, and so its mean.
WHOLE_RUN = (1.0, 4.0, 6.5)
WITHIN_TRUNCATION = (1.0, 1.0, 0.5)
# d(mean loss of truncation k) / d(perturbation of truncation j), for j up to k
COEFFICIENTS = ((1.0,), (3.0, 1.0), (3.0, 3.0, 0.5))


def estimates(estimator, num_calls, theta=THETA, seed=0):
    """The estimates of consecutive calls, all runs starting together at the first."""
    init, next_estimate = jax.jit(estimator.init), jax.jit(estimator.estimate)
    state = starting_together(init(theta, NoData(), jax.random.key(seed)))
    results = []
    for call in range(num_calls):
        key = jax.random.fold_in(jax.random.key(seed + 1), call)
        estimate, state = next_estimate(theta, state, NoData(), key)
        results.append(estimate)
    return results


def standard_error(truncation: int, persistent: bool) -> float:
    """Of the mean over pairs, by Isserlis: k sum a_j^2 + (sum a_j)^2 for truncation k."""
    a = (
        np.asarray(COEFFICIENTS[truncation])
        if persistent
        else np.asarray([WITHIN_TRUNCATION[truncation]])
    )
    return float(np.sqrt((len(a) * np.sum(a**2) + np.sum(a) ** 2) / NUM_TASKS))


@pytest.mark.parametrize(
    ("kind", "expected"), [(PersistentES, WHOLE_RUN), (TruncatedES, WITHIN_TRUNCATION)]
)
def test_evolution_on_a_line_trajectory_ends_included(kind, expected):
    estimator = kind(Line(), NUM_TASKS, TRUNCATION, Fixed(LENGTH), stddev=0.1)
    results = estimates(estimator, 2 * len(expected))
    for call, estimate in enumerate(results):
        truncation = call % 3
        bound = 4 * standard_error(truncation, kind is PersistentES)
        assert abs(float(estimate.gradient) - expected[truncation]) < bound, (call, estimate)


def error_of_product(u, v) -> float:
    """The standard error of (u . e) (v . e) over pairs, e standard normal (Isserlis)."""
    u, v = np.asarray(u), np.asarray(v)
    return float(np.sqrt((u @ u * (v @ v) + (u @ v) ** 2) / NUM_TASKS))


@pytest.mark.parametrize(
    ("estimator", "coefficients"),
    [
        (NoiseReuseES(Line(), NUM_TASKS, TRUNCATION, Fixed(LENGTH), 0.1), WHOLE_RUN),
        (GPES(Line(), NUM_TASKS, TRUNCATION, Fixed(LENGTH), 0.1, noise_steps=6), (1, 4, (6, 0.5))),
    ],
    ids=["whole_run", "two_truncations"],
)
def test_perturbations_kept_for_longer(estimator, coefficients):
    """By perturbation, in order, what a truncation's mean loss has of it: one, or two of them."""
    for call, estimate in enumerate(estimates(estimator, 6)):
        of_each = np.atleast_1d(coefficients[call % 3])
        error = error_of_product(np.ones(len(of_each)), of_each)
        assert abs(float(estimate.gradient) - of_each.sum()) < 3 * error, (call, estimate)


def test_telescoped_losses_add_up_to_the_final_one():
    """Three truncations of 3 steps: each adds 3 (theta + e_k) to the end, of 9 theta."""
    estimator = PersistentES(Line(), NUM_TASKS, 3, Fixed(9), stddev=0.1, objective="final")
    for call, estimate in enumerate(estimates(estimator, 6)):
        num = call % 3 + 1
        last_only = 9 * (np.arange(num) == num - 1)
        assert abs(float(estimate.gradient) - 9) < 3 * error_of_product(np.ones(num), last_only)
        spread = 4 * 3 * num * 0.1 / np.sqrt(NUM_TASKS)
        assert float(estimate.meta_loss) == pytest.approx(3 * num * 0.7, abs=spread)


def test_the_analytic_term_takes_the_noise_of_the_present_truncation_away():
    estimator = PersistentESWithBackprop(Line(), NUM_TASKS, TRUNCATION, Fixed(LENGTH), 0.1)
    for call, estimate in enumerate(estimates(estimator, 6)):
        of_each = np.asarray(COEFFICIENTS[call % 3])
        earlier = np.arange(len(of_each)) < len(of_each) - 1
        error = error_of_product(earlier, of_each)
        assert abs(float(estimate.gradient) - of_each.sum()) <= 3 * error + 1e-4, (call, estimate)


@pytest.mark.parametrize("kind", [Reparameterised, InverseVariance])
def test_backprop_of_perturbed_lines_is_exact(kind):
    """With a variance of zero, it has all the weight but for the floor."""
    found = estimates(kind(Line(), 8, TRUNCATION, Fixed(LENGTH), stddev=0.1), 6)
    np.testing.assert_allclose([e.gradient for e in found], 2 * WITHIN_TRUNCATION, rtol=1e-5)


@pytest.mark.parametrize(
    ("objective", "expected"), [("mean", 3.5), ("final", 8.0), ("minimum", 7.0)]
)
def test_whole_runs_on_a_falling_line(objective, expected):
    exact = FullBackprop(Line(), 4, Fixed(LENGTH), objective=objective)
    (estimate,) = estimates(exact, 1, -THETA)
    assert float(estimate.gradient) == pytest.approx(expected, rel=1e-6)
    assert float(estimate.meta_loss) == pytest.approx(-0.7 * expected, rel=1e-6)
    (estimate,) = estimates(
        FullES(Line(), NUM_TASKS, Fixed(LENGTH), 0.1, "none", objective), 1, -THETA
    )
    assert abs(float(estimate.gradient) - expected) < 3 * error_of_product([1], [expected])


def test_persistent_es_with_truncations_of_one_step():
    estimator = PersistentES(Line(), NUM_TASKS, 1, Fixed(LENGTH), stddev=0.1)
    for step, estimate in enumerate(estimates(estimator, LENGTH + 1)):
        age = step % LENGTH
        error = np.sqrt(((age + 1) * age + age**2) / NUM_TASKS)  # a_j = 1 for each earlier step
        assert abs(float(estimate.gradient) - age) <= 4 * error + 1e-5, (step, estimate)


def test_backprop_on_a_line_is_exact_within_truncations():
    estimator = TruncatedBackprop(Line(), 4, TRUNCATION, Fixed(LENGTH))
    found = [float(e.gradient) for e in estimates(estimator, 6)]
    np.testing.assert_allclose(found, 2 * WITHIN_TRUNCATION, rtol=1e-6)
    whole = TruncatedBackprop(Line(), 4, LENGTH, Fixed(LENGTH))
    assert float(estimates(whole, 1)[0].gradient) == pytest.approx(3.5, rel=1e-6)


@pytest.mark.parametrize(("objective", "expected"), [("mean", 3.5), ("final", 8.0)])
def test_full_es_on_a_line(objective, expected):
    estimator = FullES(Line(), NUM_TASKS, Fixed(LENGTH), stddev=0.1, objective=objective)
    (estimate,) = estimates(estimator, 1)
    error = expected * np.sqrt(2 / NUM_TASKS)  # (P + 1) |g|^2 with P = 1
    assert abs(float(estimate.gradient) - expected) < 4 * error


def test_meta_loss_is_the_mean_of_the_steps_of_the_run():
    estimator = TruncatedBackprop(Line(), 4, TRUNCATION, Fixed(LENGTH))
    found = [float(e.meta_loss) for e in estimates(estimator, 3)]
    np.testing.assert_allclose(found, np.asarray(WHOLE_RUN) * 0.7, rtol=1e-5)


def per_pair_estimates(estimator, num_calls, num_pairs, theta, seed=0):
    """Single-pair estimates, [num_calls, num_pairs, ...]."""

    def chain(key):
        state = starting_together(estimator.init(theta, NoData(), key))

        def call(state, key):
            estimate, state = estimator.estimate(theta, state, NoData(), key)
            return state, estimate.gradient

        return jax.lax.scan(call, state, jax.random.split(key, num_calls))[1]

    keys = jax.random.split(jax.random.key(seed), num_pairs)
    return np.moveaxis(np.asarray(jax.jit(jax.vmap(chain))(keys), np.float64), 1, 0)


def variance_and_error(samples: np.ndarray) -> tuple[float, float]:
    """The total variance over axis 0, and the standard error of that figure."""
    squares = np.sum((samples - samples.mean(0)) ** 2, axis=tuple(range(1, samples.ndim)))
    return float(squares.mean()), float(squares.std() / np.sqrt(len(squares)))


def test_variance_of_persistent_es_by_truncation():
    estimator = PersistentES(Line(), 1, TRUNCATION, Fixed(LENGTH), stddev=0.1)
    samples = per_pair_estimates(estimator, 3, 100_000, THETA)
    for truncation, expected in enumerate((2.0, 36.0, 97.0)):
        variance, error = variance_and_error(samples[truncation])
        assert abs(variance - expected) < 4 * error, (truncation, variance, expected)


@pytest.mark.parametrize("num_steps", [1, 2, 5, 10])
@pytest.mark.parametrize("agreement", ["identical", "independent"])
def test_variance_law_of_persistent_es(num_steps, agreement):
    """Sum over a run of T truncations of one step: sum_t |g_t|^2 (P + 1 + (t - 1) P)."""
    num_params = 10
    rng = np.random.RandomState(3)
    shape = (1 if agreement == "identical" else num_steps, num_params)
    gradients = np.broadcast_to(rng.randn(*shape), (num_steps, num_params)).astype(np.float32)
    problem = LinearLosses(tuple(map(tuple, gradients.tolist())))
    estimator = PersistentES(problem, 1, 1, Fixed(num_steps), stddev=0.1)
    samples = per_pair_estimates(estimator, num_steps, 12_000, jnp.zeros(num_params)).sum(0)
    variance, error = variance_and_error(samples)
    weights = num_params + 1 + np.arange(num_steps) * num_params
    expected = np.sum(np.sum(np.square(gradients, dtype=np.float64), axis=1) * weights)
    assert abs(variance - expected) < 4 * error
    mean_error = np.sqrt(expected / len(samples))
    assert np.linalg.norm(samples.mean(0) - gradients.sum(0)) < 3 * mean_error


@pytest.mark.parametrize("num_steps", [5, 20])
def test_variance_law_of_noise_reuse(num_steps):
    """(P + 1) |g|^2 for a run of any length, g the sum over its steps (R2)."""
    num_params = 10
    gradients = np.random.RandomState(3).randn(num_steps, num_params).astype(np.float32)
    problem = LinearLosses(tuple(map(tuple, gradients.tolist())))
    estimator = NoiseReuseES(problem, 1, 1, Fixed(num_steps), stddev=0.1)
    samples = per_pair_estimates(estimator, num_steps, 4000, jnp.zeros(num_params)).sum(0)
    variance, error = variance_and_error(samples)
    squared_norm = np.sum(np.square(gradients.sum(0, dtype=np.float64)))
    assert abs(variance - 11 * squared_norm) < 4 * error
    mean_error = np.sqrt(11 * squared_norm / len(samples))
    assert np.linalg.norm(samples.mean(0) - gradients.sum(0)) < 3 * mean_error


@pytest.mark.parametrize(("num_steps", "expected"), [(20, 5.3), (100, 5.06)])
def test_persistent_es_has_less_variance_than_noise_reuse_where_steps_agree(num_steps, expected):
    """Total variance over |g|^2 for equal gradients; 11 for noise reuse, however long (R2)."""
    problem = LinearLosses(((1.0,) * 10,) * num_steps)
    estimator = PersistentES(problem, 1, 1, Fixed(num_steps), stddev=0.1)
    samples = per_pair_estimates(estimator, num_steps, 4000, jnp.zeros(10)).sum(0)
    variance, error = variance_and_error(samples / (num_steps * np.sqrt(10)))
    assert abs(variance - expected) < 4 * error
