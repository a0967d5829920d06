"""Work that is left out: the results are those of doing it all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.networks.branches import LARGEST_ROWS, anywhere, in_chunks
from taskset.networks.dims import Dim


def squares(weight, x):
    return weight[None] * x * x


@pytest.mark.parametrize(("rows", "size"), [(7, 7), (7, 3), (7, 1), (16, 5)])
def test_chunks_with_real_rows_are_computed_and_others_are_zero(rows, size):
    x = jnp.arange(14.0).reshape(7, 2)
    weight = jnp.asarray([2.0, -1.0])

    def loss(weight, count):
        dim = Dim(rows, count)
        result = in_chunks(lambda x: squares(weight, x), x, dim, 2)
        return jnp.sum(dim.clear(result, 0)), result

    (_, result), grads = jax.value_and_grad(loss, has_aux=True)(weight, jnp.int32(size))
    computed = -(-size // 2) * 2
    np.testing.assert_array_equal(result[:computed], squares(weight, x)[:computed])
    np.testing.assert_array_equal(result[computed:], 0.0)
    np.testing.assert_allclose(grads, np.sum(np.square(x[:size]), axis=0), rtol=1e-6)


def test_without_padding_any_number_of_rows_is_computed():
    x = jnp.arange(2.0 * LARGEST_ROWS + 2).reshape(-1, 2)
    for part in (x[:3], x):
        result = in_chunks(lambda x: x + 1.0, jnp.tile(part, (2, 1)), Dim(3))
        np.testing.assert_array_equal(result, jnp.tile(part, (2, 1)) + 1.0)


def test_a_condition_under_vmap_is_whether_any_task_has_it():
    conditions = jnp.asarray([[False, True, False], [False, False, False]])
    by_row = jax.vmap(jax.vmap(anywhere), in_axes=0)(conditions)
    np.testing.assert_array_equal(by_row, jnp.ones((2, 3), bool))
    np.testing.assert_array_equal(jax.vmap(anywhere)(conditions[1]), conditions[1])


def test_a_branch_stays_one_under_vmap_and_has_derivatives():
    def cube(x, wanted):
        return jax.lax.cond(anywhere(wanted), lambda x: x**3, jnp.zeros_like, x)

    x, wanted = jnp.asarray([2.0, 3.0]), jnp.asarray([True, True])
    batched = jax.vmap(jax.grad(cube))
    np.testing.assert_allclose(batched(x, wanted), 3 * x**2)
    np.testing.assert_array_equal(batched(x, ~wanted), 0.0)
    tangent = jax.vmap(lambda x, w: jax.jvp(lambda x: jax.grad(cube)(x, w), (x,), (1.0,))[1])
    np.testing.assert_allclose(tangent(x, wanted), 6 * x)
    assert "cond[" in str(jax.make_jaxpr(batched)(x, wanted))
