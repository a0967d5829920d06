"""Work that is left out: the results are those of doing it all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.networks.branches import LARGEST_ROWS, PADDED_ROWS, anywhere, in_chunks
from taskset.networks.dims import Dim


def squares(scale, weight, x):
    return scale * weight[None] * x * x


@pytest.mark.parametrize(("rows", "size"), [(19, 19), (19, 9), (19, 1), (40, 5)])
def test_chunks_with_real_rows_are_computed_and_others_are_zero(rows, size):
    x = jnp.arange(38.0).reshape(19, 2)
    weight = jnp.asarray([2.0, -1.0])

    def loss(weight, x, count):
        dim = Dim(rows, count)
        result = in_chunks(squares, jnp.float32(3.0), weight, x, dim)
        return jnp.sum(dim.clear(result, 0)), result

    count = jnp.int32(size)
    grad = jax.value_and_grad(loss, (0, 1), has_aux=True)
    (_, result), (of_weight, of_x) = grad(weight, x, count)
    computed = min(-(-size // PADDED_ROWS) * PADDED_ROWS, 19)
    np.testing.assert_allclose(result[:computed], squares(3.0, weight, x)[:computed], rtol=1e-6)
    np.testing.assert_array_equal(result[computed:], 0.0)
    np.testing.assert_allclose(of_weight, 3 * np.sum(np.square(x[:size]), axis=0), rtol=1e-6)
    np.testing.assert_allclose(of_x[:size], 6 * weight[None] * x[:size], rtol=1e-6)
    np.testing.assert_array_equal(of_x[size:], 0.0)


def test_chunks_of_tasks_side_by_side_are_computed_as_for_the_largest():
    x, weight = jnp.ones((24, 1)), jnp.ones((1,))
    of_task = lambda count: in_chunks(squares, 1.0, weight, x, Dim(24, count))
    found = jax.vmap(of_task)(jnp.asarray([3, 12], jnp.int32))
    np.testing.assert_array_equal(found.sum((1, 2)), [2 * PADDED_ROWS, 2 * PADDED_ROWS])


def test_the_gradient_of_chunks_has_a_gradient():
    x, weight = jnp.arange(24.0).reshape(24, 1), jnp.asarray([2.0])

    def of_gradient(apply):
        inner = jax.grad(lambda w: jnp.sum(apply(w)[:12] ** 2))
        return jax.grad(lambda w: jnp.sum(inner(w) ** 2))(weight)

    chunks = lambda w: in_chunks(squares, 1.0, w, x, Dim(24, jnp.int32(12)))
    np.testing.assert_allclose(of_gradient(chunks), of_gradient(lambda w: squares(1.0, w, x)))


def test_without_padding_any_number_of_rows_is_computed():
    x = jnp.arange(2.0 * LARGEST_ROWS + 2).reshape(-1, 2)
    for part in (x[:3], x):
        result = in_chunks(lambda one, _, x: x + one, 1.0, (), jnp.tile(part, (2, 1)), Dim(3))
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
