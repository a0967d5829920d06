"""STAR against numpy, and its stability beside that of its MLP alone."""

import against_numpy
import jax
import jax.numpy as jnp
import numpy as np
import optax
from against_numpy import FactoredFeatures, mlp, scaled_columns

from metaopt.learned_optimizers import STAR

TIME_SCALES = np.array([1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000], np.float64)


def learned(initial, offset):
    """Decays in the form that their offsets have."""
    return 1 - np.exp(10 * (np.log(1 - np.array(initial)) / 10 + offset))


def reference(theta, params, gradients):
    decays = (
        learned([0.9, 0.99, 0.999], theta["momentum_decay"]),
        np.clip(learned([0.999], theta["second_moment_decay"]), 0, 1)[0],
        np.clip(learned([0.9, 0.99, 0.999], theta["factored_decay"]), 0, 1),
    )
    kept = {k: FactoredFeatures(p, *decays) for k, p in params.items()}
    for step, gradient in enumerate(gradients):
        moved = {}
        for k, w in params.items():
            kept[k].see(gradient[k])
            flat = scaled_columns(kept[k].features(gradient[k], w))
            time = np.tile(np.tanh(step / TIME_SCALES - 1), (len(flat), 1))
            d, e, n, s = mlp(theta["network"], np.concatenate([flat, time], axis=1)).T
            root = np.sqrt(kept[k].second + 1e-6)
            adam = np.mean([m / root for m in kept[k].momenta], axis=0)
            nominal = 1e-3 * np.exp(1e-3 * n.mean()) * adam
            blackbox = 1e-3 * (d * np.exp(1e-3 * e)).reshape(w.shape) / root
            moved[k] = w - nominal - blackbox - 1e-5 * np.exp(1e-3 * s.mean()) * w
        params = moved
    return params


def test_matches_an_independent_computation():
    theta = STAR().init(jax.random.key(0))
    theta["network"] = against_numpy.shaken(theta["network"])
    theta["momentum_decay"] = jnp.asarray([0.01, -0.02, 0.03])
    against_numpy.check(STAR(), reference, theta)


def test_the_nominal_step_steadies_an_mlp_that_knows_nothing():
    """Untrained weights on a quadratic, where the loss ends as a share of where it began."""

    @jax.jit
    @jax.vmap
    def share(nominal_learning_rate, seed):
        optimizer = STAR(nominal_learning_rate=nominal_learning_rate)
        transformation = optimizer.as_optax(optimizer.init(jax.random.key(seed)))
        start, curvatures = jnp.ones(8), jnp.linspace(0.1, 1.0, 8)

        def step(carry, _):
            params, state = carry
            updates, state = transformation.update(curvatures * params, state, params)
            return (optax.apply_updates(params, updates), state), None

        (end, _), _ = jax.lax.scan(step, (start, transformation.init(start)), length=400)
        return jnp.sum(curvatures * end**2) / jnp.sum(curvatures)

    seeds = jnp.arange(16)
    alone, beside = (np.asarray(share(jnp.full(16, rate), seeds)) for rate in (0.0, 0.01))
    assert np.sum(alone > 1) >= 4
    assert np.all(beside < 0.1)
