"""Means and variances of every estimator on problems whose gradient is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Line, LinearLosses

from metaopt.estimators import FullES, PersistentES, TruncatedBackprop, TruncatedES
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
    state = init(theta, NoData(), jax.random.key(seed))
    if state:
        state = state._replace(age=jnp.zeros_like(state.age))
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
        state = estimator.init(theta, NoData(), key)
        state = state._replace(age=jnp.zeros_like(state.age))

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
