"""CoordinatewiseLSTM against numpy, and what its paper says of it."""

import against_numpy
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from against_numpy import linear, lstm

from metaopt.learned_optimizers import CoordinatewiseLSTM

UNITS = 20


def reference(preprocess):
    def run(meta_params, params, gradients):
        states = {n: [np.zeros((p.size, UNITS)) for _ in range(4)] for n, p in params.items()}
        params = dict(params)
        for gradient in gradients:
            for name, shaped in gradient.items():
                g = shaped.reshape(-1)
                size = np.maximum(np.log(np.abs(g) + np.finfo(np.float32).eps) / 5, -1)
                both = np.stack([size, np.clip(g * np.exp(5), -1, 1)], axis=1)
                first = lstm(
                    meta_params["first"], both if preprocess else g[:, None], *states[name][:2]
                )
                second = lstm(meta_params["second"], first[0], *states[name][2:])
                states[name] = [*first, *second]
                out = linear(meta_params["output"], second[0])
                params[name] = params[name] + 0.01 * out.reshape(params[name].shape)
        return params

    return run


@pytest.mark.parametrize("preprocess", [True, False])
def test_matches_an_independent_computation(preprocess):
    optimizer = CoordinatewiseLSTM(preprocess=preprocess)
    meta_params = optimizer.init(jax.random.key(0))
    assert sum(x.size for x in jax.tree.leaves(meta_params)) == 5061 + 80 * preprocess
    against_numpy.check(optimizer, reference(preprocess))


def test_the_place_of_a_parameter_does_not_matter():
    optimizer = CoordinatewiseLSTM()
    transformation = optimizer.as_optax(optimizer.init(jax.random.key(0)))
    params = jnp.zeros(6)
    gradient = jnp.asarray([1e-3, -2.0, 1e-3, 0.0, 5.0, -2.0])
    update, _ = transformation.update(gradient, transformation.init(params), params)
    np.testing.assert_allclose(update[0], update[2], rtol=1e-5)
    np.testing.assert_allclose(update[1], update[5], rtol=1e-5)
    assert len(np.unique(np.round(update, 7))) == 4


def test_nothing_flows_back_through_preprocessed_gradients():
    optimizer = CoordinatewiseLSTM()
    transformation = optimizer.as_optax(optimizer.init(jax.random.key(0)))
    params = jnp.ones(3)
    moved = lambda g: jnp.sum(transformation.update(g, transformation.init(params), params)[0])
    np.testing.assert_array_equal(jax.grad(moved)(jnp.ones(3)), np.zeros(3))
