"""Leaving out work, at run time, that no task needs: on padding, and on variants not chosen."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from taskset.networks.dims import Dim
from taskset.networks.real_blocks import Blocks, Inputs, scan_real

PADDED_ROWS = 8  # in a chunk, where a batch is padded: what is computed in vain is less than this
LARGEST_ROWS = 512  # in a chunk, where it is not: the largest batch of TaskSet


@custom_vmap
def largest(number: jax.Array) -> jax.Array:
    """`number`, []; under `vmap`, the largest of those of the tasks side by side.

    A loop that ends with it has one number of rounds for all of them.
    """
    return number


@largest.def_vmap
def _(axis_size: int, in_batched: list[bool], number: jax.Array) -> tuple[jax.Array, bool]:
    del axis_size, in_batched
    return largest(jnp.max(number, axis=0)), False


def anywhere(condition: jax.Array) -> jax.Array:
    """`condition`, [] bool; under `vmap`, whether it holds for any of the tasks side by side.

    A `lax.cond` on it stays a branch under `vmap`, where a condition for each task would have both
    sides computed for all. What it does must then be right for those without the condition too.
    """
    return largest(condition)


def in_chunks(
    function: Callable[[Any, Any, jax.Array], jax.Array],
    context: Any,
    params: Any,
    x: jax.Array,
    rows: Dim,
) -> jax.Array:
    """`function(context, params, x)`, [rows, ...], which maps the rows of `x` one by one.

    Of the `rows`, chunks that are padding are not computed, and zero. Without padding, the array is
    computed at once, unless it is larger than a batch, as for a whole split. `context` is a pytree
    of numbers, without gradient. With padding, there is no forward mode: see `scan_real`.
    """
    if rows.size is None and x.shape[0] <= LARGEST_ROWS:
        return function(context, params, x)
    num_rows = x.shape[0]
    size = LARGEST_ROWS if rows.size is None else PADDED_ROWS
    num_chunks = -(-num_rows // size)
    x = jnp.pad(x, ((0, num_chunks * size - num_rows), *((0, 0),) * (x.ndim - 1)))
    if rows.size is None:
        chunks = x.reshape(num_chunks, size, *x.shape[1:])
        results = jax.lax.map(functools.partial(function, context, params), chunks)
    else:
        blocks = Blocks(
            values=(),
            ids=jnp.arange(x.shape[0], dtype=jnp.int32).reshape(num_chunks, size),
            order=jnp.arange(num_chunks, dtype=jnp.int32),
            num_real=largest(jnp.minimum(-(-rows.size // size), num_chunks)),
        )
        body = functools.partial(_of_chunk, function)
        results = scan_real(body, 0.0, Inputs(params, x, carry=()), context, blocks)
    return results.reshape(num_chunks * size, *results.shape[2:])[:num_rows]


def _of_chunk(
    function: Callable[[Any, Any, jax.Array], jax.Array],
    context: Any,
    params: Any,
    carry: tuple[()],
    rows: jax.Array,
    block: tuple[()],
) -> tuple[tuple[()], jax.Array]:
    """`function` as the body of a scan, in which nothing is carried."""
    del block
    return carry, function(context, params, rows)
