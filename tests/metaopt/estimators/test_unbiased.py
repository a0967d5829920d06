"""Estimators that claim the gradient of a smoothed objective give it, on a nonlinear problem."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import InfluenceBalancing, ToyRegression, starting_together

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
    runs,
)
from metaopt.horizons import Fixed
from taskset.base import NoData

PROBLEM, THETA = ToyRegression(20), jnp.asarray([-1.0, -2.0])
NUM_RUNS, STDDEV = 10_000, 0.1
ONE_RUN = {"problem": PROBLEM, "num_tasks": 1, "horizon": Fixed(20), "stddev": STDDEV}
WHOLE_RUNS = {
    "reparameterised": (Reparameterised(**ONE_RUN, truncation=20), "mean"),
    "noise_reuse_es": (NoiseReuseES(**ONE_RUN, truncation=5), "mean"),
    "gpes": (GPES(**ONE_RUN, truncation=5, noise_steps=10), "mean"),
    "persistent_es_of_final_loss": (
        PersistentES(**ONE_RUN, truncation=5, objective="final"),
        "final",
    ),
    "noise_reuse_es_of_final_loss": (
        NoiseReuseES(**ONE_RUN, truncation=5, objective="final"),
        "final",
    ),
    "persistent_es_with_backprop": (PersistentESWithBackprop(**ONE_RUN, truncation=5), "mean"),
    "orthogonal_full_es_of_final_loss": (
        FullES(**ONE_RUN | {"num_tasks": 2}, objective="final", perturbations="orthogonal"),
        "final",
    ),
    "full_es_of_least_loss": (FullES(**ONE_RUN, objective="minimum"), "minimum"),
}


@functools.cache
def exact_gradients(objective):
    """Of whole runs at perturbed meta-parameters, [NUM_RUNS, 2]: their mean is the gradient."""
    whole = FullBackprop(PROBLEM, 1, Fixed(20), objective=objective, remat="none")
    key = jax.random.key(7)
    perturbed = THETA[None] + STDDEV * jax.random.normal(key, (NUM_RUNS, 2))
    at = lambda theta: whole.estimate(theta, (), NoData(), key)[0].gradient
    return np.asarray(jax.jit(jax.vmap(at))(perturbed), np.float64)


@functools.cache
def gradients_of_runs(estimator):
    """The mean over the truncations of a run, of NUM_RUNS runs: [NUM_RUNS, 2]."""
    num_calls = 20 // getattr(estimator, "truncation", 20)

    def one_run(key):
        key_init, key_calls = jax.random.split(key)
        state = starting_together(estimator.init(THETA, NoData(), key_init))

        def call(state, key):
            estimate, state = estimator.estimate(THETA, state, NoData(), key)
            return state, estimate.gradient

        _, gradients = jax.lax.scan(call, state, jax.random.split(key_calls, num_calls))
        return jnp.mean(gradients, axis=0)

    keys = jax.random.split(jax.random.key(0), NUM_RUNS)
    return np.asarray(jax.jit(jax.vmap(one_run))(keys), np.float64)


@pytest.mark.parametrize(("estimator", "objective"), WHOLE_RUNS.values(), ids=WHOLE_RUNS)
def test_the_mean_of_many_estimates_is_the_gradient_of_the_smoothed_objective(estimator, objective):
    samples, reference = gradients_of_runs(estimator), exact_gradients(objective)
    error = np.sqrt((samples.var(0) + reference.var(0)) / NUM_RUNS)
    difference = samples.mean(0) - reference.mean(0)
    assert np.all(np.abs(difference) < 3 * error), (difference, error)
    assert np.any(np.abs(reference.mean(0)) > 6 * error)  # zero would not have passed


def test_the_analytic_term_lowers_the_variance():
    plain = gradients_of_runs(PersistentES(**ONE_RUN, truncation=5))
    analytic = gradients_of_runs(WHOLE_RUNS["persistent_es_with_backprop"][0])
    assert np.all(analytic.var(0) < plain.var(0))


@pytest.mark.parametrize("kind", [TruncatedES, TruncatedBackprop, Reparameterised, InverseVariance])
def test_the_bias_of_short_truncations_has_its_sign(kind):
    """Descent has to lower theta to -1/6; seen over 10 steps from rest it has to rise."""
    problem, theta, key = InfluenceBalancing(), jnp.float32(0.5), jax.random.key(0)
    at_rest, _ = jax.jit(runs.unroll, static_argnums=(0, 5))(
        problem, theta, jnp.ones(23), NoData(), key, 300
    )
    estimator = kind(problem, 64, 10, Fixed(10**8))
    state = jax.jit(estimator.init)(theta, NoData(), key)
    state = state._replace(state=jnp.broadcast_to(at_rest, (64, 23)))
    assert jax.jit(estimator.estimate)(theta, state, NoData(), key)[0].gradient < 0
    whole = kind(problem, 64, 200, Fixed(10**8))
    assert jax.jit(whole.estimate)(theta, state, NoData(), key)[0].gradient > 0
