"""The loop over tensors that all learned optimizers share."""

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.learned_optimizers.base import map_tensors

SHAPES = [(2, 3), (4,), (2, 3), (0,), (2, 3), (4,)]


def rule(gradient, param, momentum, row):
    momentum = 0.5 * momentum + gradient
    return -row[0] * momentum + 0.1 * param, momentum, jnp.sum(momentum)


def trees(shapes, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 3 * len(shapes))
    draw = lambda index, shape: jax.random.normal(keys[index], shape, dtype)
    count = len(shapes)
    return [[draw(i + part * count, s) for i, s in enumerate(shapes)] for part in range(3)]


def apply(gradients, params, momentum, rates):
    return map_tensors(rule, gradients, params, [momentum], [rates])


def test_tensors_of_one_shape_keep_their_order_and_their_rows():
    gradients, params, momentum = trees(SHAPES)
    rates = 1.0 + jnp.arange(5.0)[:, None]
    updates, (found, sums) = jax.jit(apply)(gradients, params, momentum, rates)
    expected = [0.5 * m + g for m, g in zip(momentum, gradients, strict=True)]
    rate = iter(np.asarray(rates[:, 0]))
    for update, param, m, shape in zip(updates, params, expected, SHAPES, strict=True):
        if update.size:
            np.testing.assert_allclose(update, -next(rate) * m + 0.1 * param, rtol=1e-5, atol=1e-6)
        assert update.shape == shape
    jax.tree.map(np.testing.assert_array_equal, found[:3], expected[:3])
    np.testing.assert_allclose(sums, [jnp.sum(m) for m in expected if m.size], rtol=1e-5)


def test_a_rule_is_compiled_once_for_all_tensors_of_a_shape():
    def size(count):
        arguments = (*trees([(3, 3)] * count), jnp.ones((count, 1)))
        return jax.jit(apply).lower(*arguments).as_text().count("dot_general")

    def apply(gradients, params, momentum, rates):
        product = lambda g, p, m, row: (g @ p * row[0], m)
        return map_tensors(product, gradients, params, [momentum], [rates])

    assert size(2) == size(9) == 1
