"""Leaving out work, at run time, that no task needs: on padding, and on variants not chosen."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from taskset.networks.dims import Dim

PADDED_ROWS = 16  # in a chunk, where a batch is padded: what is computed in vain is less than this
LARGEST_ROWS = 512  # in a chunk, where it is not: the largest batch of TaskSet


@custom_vmap
def anywhere(condition: jax.Array) -> jax.Array:
    """`condition`, [] bool; under `vmap`, whether it holds for any of the tasks side by side.

    A `lax.cond` on it stays a branch under `vmap`, where a condition for each task would have both
    sides computed for all. What it does must then be right for those without the condition too.
    """
    return condition


@anywhere.def_vmap
def _(axis_size: int, in_batched: list[bool], condition: jax.Array) -> tuple[jax.Array, bool]:
    del axis_size, in_batched
    return anywhere(jnp.any(condition, axis=0)), False


def in_chunks(
    function: Callable[[jax.Array], jax.Array], x: jax.Array, rows: Dim, size: int = PADDED_ROWS
) -> jax.Array:
    """`function(x)`, which maps the rows of an array one by one, by chunks of `size` rows.

    Of the `rows`, chunks that are padding are not computed, and zero. Without padding, the array is
    computed at once, unless it is larger than a batch, as for a whole split.
    """
    if rows.size is None:
        if x.shape[0] <= LARGEST_ROWS:
            return function(x)
        size = LARGEST_ROWS
    num_chunks = -(-x.shape[0] // size)
    missing = num_chunks * size - x.shape[0]
    chunks = jnp.pad(x, ((0, missing), *((0, 0),) * (x.ndim - 1)))
    chunks = chunks.reshape(num_chunks, size, *x.shape[1:])
    result = jax.eval_shape(function, chunks[0])
    nothing = lambda _: jnp.zeros(result.shape, result.dtype)

    def compute(start_and_chunk: tuple[jax.Array, jax.Array]) -> jax.Array:
        start, chunk = start_and_chunk
        if rows.size is None:
            return function(chunk)
        return jax.lax.cond(anywhere(start < rows.size), function, nothing, chunk)

    starts = jnp.arange(num_chunks, dtype=jnp.int32) * size
    results = jax.lax.map(compute, (starts, chunks))
    return results.reshape(num_chunks * size, *result.shape[1:])[: x.shape[0]]
