"""Celo and Celo2 against numpy, and what their papers promise."""

import dataclasses

import against_numpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_numpy import FactoredFeatures, linear, lstm, mlp, scaled_columns

from metaopt.learned_optimizers import Celo, Celo2, celo2

DECAYS = (0.9, 0.99, 0.999), 0.999, (0.9, 0.99, 0.999)
CELO2_DECAYS = (0.9, 0.99, 0.999), 0.95, (0.9, 0.99, 0.999)
FRACTIONS = np.array([0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1])


def celo(scheduled, released=False):
    def run(theta, params, gradients):
        kept = {k: FactoredFeatures(p, *DECAYS) for k, p in params.items()}
        schedule = theta["schedule"]
        h, c = schedule["start"]["output"], schedule["start"]["memory"]
        for step, gradient in enumerate(gradients):
            seen = np.concatenate([np.tanh(10 * (step / 6 - FRACTIONS)), np.zeros(9)])  # no loss
            if released:
                rectified = np.maximum(linear(schedule["rectified"], seen), 0)
                seen = linear(schedule["straight"], seen) + rectified
            h, c = lstm(schedule["lstm"], seen, h, c)
            rate = 0.1 * np.exp(linear(schedule["output"], h)[0] if scheduled else 0.0)
            for k, w in params.items():
                kept[k].see(gradient[k])
                x = scaled_columns(kept[k].features(gradient[k], w, extended=True))
                d, m, _ = mlp(theta["mlp"], x).T
                size = 1e-3 * rate * np.sqrt(np.mean(w**2) + 1e-9)
                params = params | {k: w - size * (d * np.exp(1e-3 * m)).reshape(w.shape)}
        return params

    return run


def by_newton_schulz(x):
    """Of the singular values, in place of the matrix products."""
    u, s, v = np.linalg.svd(x, full_matrices=False)
    s = s / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return u * s @ v


def celo2_reference(orthogonalize, adam_for_vectors):
    def run(theta, params, gradients):
        kept = {k: FactoredFeatures(p, *CELO2_DECAYS) for k, p in params.items()}
        for step, gradient in enumerate(gradients):
            for k, w in params.items():
                kept[k].see(gradient[k])
                if w.ndim < 2 and adam_for_vectors:
                    mean = kept[k].momenta[0] / (1 - 0.9 ** (step + 1))
                    root = np.sqrt(kept[k].second / (1 - 0.95 ** (step + 1)))
                    params = params | {k: w - 0.02 * mean / (root + 1e-8)}
                    continue
                x = scaled_columns(kept[k].features(gradient[k], w, extended=True))
                d = mlp(theta, x)[:, 0].reshape(w.shape)
                d = by_newton_schulz(d) if orthogonalize and w.ndim == 2 else d
                params = params | {k: w - 1e-3 * d / np.sqrt(np.mean(d**2) + 1e-16)}
        return params

    return run


@pytest.mark.parametrize(
    ("scheduled", "released", "number"),
    [(True, False, 21_600), (False, False, 21_600), (True, True, 35_808)],
)
def test_celo_matches_an_independent_computation(scheduled, released, number):
    optimizer = Celo(scheduled=scheduled, released=released)
    meta_params = optimizer.init(jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(meta_params)) == number
    assert sum(x.size for x in jax.tree.leaves(meta_params["mlp"])) == 159
    against_numpy.check(optimizer, celo(scheduled, released), num_steps=6)


@pytest.mark.parametrize(
    ("orthogonalize", "adam_for_vectors"), [(False, True), (True, True), (False, False)]
)
def test_celo2_matches_an_independent_computation(orthogonalize, adam_for_vectors):
    optimizer = Celo2(orthogonalize=orthogonalize, adam_for_vectors=adam_for_vectors)
    meta_params = optimizer.init(jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(meta_params)) == 347
    against_numpy.check(optimizer, celo2_reference(orthogonalize, adam_for_vectors))


def test_celo_looks_at_the_loss():
    optimizer = Celo()
    transformation = optimizer.as_optax(against_numpy.shaken(optimizer.init(jax.random.key(0))))
    params = jnp.linspace(-1, 1, 6).reshape(2, 3)

    def last_update(losses):
        state = transformation.init(params)
        for loss in losses:
            updates, state = transformation.update(params, state, params, value=jnp.float32(loss))
        return updates

    assert bool(jnp.any(last_update([3.0, 2.0, 1.0]) != last_update([1.0, 2.0, 3.0])))


@pytest.mark.parametrize("orthogonalize", [False, True])
def test_updates_of_celo2_have_the_length_of_the_learning_rate(orthogonalize):
    optimizer = dataclasses.replace(Celo2(), learning_rate=0.01, orthogonalize=orthogonalize)
    transformation = optimizer.as_optax(optimizer.init(jax.random.key(0)))
    params = {"kernel": jnp.linspace(-1, 1, 36).reshape(3, 3, 2, 2), "bias": jnp.ones(3)}
    updates, _ = transformation.update(params, transformation.init(params), params)
    length = lambda x: float(jnp.sqrt(jnp.mean(jnp.square(x))))
    assert length(updates["kernel"]) == pytest.approx(0.01, rel=1e-5)
    assert length(updates["bias"]) == pytest.approx(0.2, rel=1e-5)  # the first step of Adam


@pytest.mark.parametrize("shape", [(4, 7), (7, 4)])
def test_singular_values_of_an_orthogonalised_matrix_are_near_one(shape):
    matrix = jax.random.normal(jax.random.key(0), shape)
    values = np.linalg.svd(np.asarray(celo2.orthogonalized(matrix)), compute_uv=False)
    assert np.all((values > 0.6) & (values < 1.3))
