"""Both per-parameter optimizers against a computation that shares only the paper with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_numpy import FactoredFeatures, mlp, scaled_columns

from metaopt.learned_optimizers import FactoredMLP, PerParameterMLP

TIME_SCALES = np.array([1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000], np.float64)
SHAPES = {
    "matrix": (5, 7),
    "wide": (9, 4),
    "kernel": (3, 2, 6),
    "square": (4, 4),
    "vector": (6,),
    "scalar": (),
}


def weights_of(meta_params):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), meta_params)


def columns(features, step):
    """Scaled features and time as [parameters, features]; each feature has the tensor's shape."""
    flat = scaled_columns(features)
    time = np.tanh(step / TIME_SCALES - 1)
    return np.concatenate([flat, np.tile(time, (len(flat), 1))], axis=1)


def step_of(outputs, shape):
    return (-1e-3 * outputs[:, 0] * np.exp(1e-3 * outputs[:, 1])).reshape(shape)


def reference_per_parameter(meta_params, gradients, param):
    momenta = {d: np.zeros_like(param) for d in (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)}
    for step, g in enumerate(gradients):
        momenta = {d: d * m + (1 - d) * g for d, m in momenta.items()}
        features = columns([g, param, *momenta.values()], step)
        assert features.shape[1] == 19
        param = param + step_of(mlp(meta_params, features), param.shape)
    return param


def reference_factored(meta_params, gradients, param):
    decay = lambda start, offset: 1 - np.exp(10 * (np.log(1 - start) / 10 + offset))
    momentum_decays = [
        decay(d, o) for d, o in zip((0.9, 0.99, 0.999), meta_params["momentum_decay"])
    ]
    (second_decay,) = np.clip([decay(0.999, meta_params["second_moment_decay"][0])], 0, 1)
    factored_decays = np.clip(
        [decay(d, o) for d, o in zip((0.9, 0.99, 0.999), meta_params["factored_decay"])], 0, 1
    )
    statistics = FactoredFeatures(param, momentum_decays, second_decay, factored_decays)
    for step, g in enumerate(gradients):
        statistics.see(g)
        features = statistics.features(g, param)
        assert len(features) == 28
        param = param + step_of(mlp(meta_params["network"], columns(features, step)), param.shape)
    return param


@pytest.mark.parametrize(
    ("optimizer", "reference", "num_meta_params"),
    [(FactoredMLP(), reference_factored, 197), (PerParameterMLP(), reference_per_parameter, 1762)],
    ids=["FactoredMLP", "PerParameterMLP"],
)
@pytest.mark.parametrize("name", SHAPES)
def test_matches_an_independent_computation(optimizer, reference, num_meta_params, name):
    key_weights, key_param, key_grads, key_bias = jax.random.split(jax.random.key(1), 4)
    meta_params = optimizer.init(key_weights)
    assert sum(x.size for x in jax.tree.leaves(meta_params)) == num_meta_params
    # Larger than at a start, biases and decays away from zero, so that every input matters.
    leaves, structure = jax.tree.flatten(meta_params)
    keys = jax.random.split(key_bias, len(leaves))
    noise = [0.1 * jax.random.normal(k, x.shape) for k, x in zip(keys, leaves)]
    meta_params = structure.unflatten([3 * x + e for x, e in zip(leaves, noise)])

    param = jax.random.normal(key_param, SHAPES[name])
    gradients = jax.random.normal(key_grads, (6, *SHAPES[name])) * jnp.float32(0.3)
    transformation = optimizer.as_optax(meta_params)
    state, moved = transformation.init({name: param}), {name: param}
    update = jax.jit(transformation.update)
    for gradient in gradients:
        updates, state = update({name: gradient}, state, moved)
        moved = jax.tree.map(jnp.add, moved, updates)

    expected = reference(
        weights_of(meta_params), np.asarray(gradients, np.float64), np.asarray(param, np.float64)
    )
    travelled = np.abs(expected - np.asarray(param, np.float64)).max()
    assert travelled > 1e-5
    np.testing.assert_allclose(
        np.asarray(moved[name]), expected, rtol=0, atol=2e-4 * travelled + 2e-7
    )
