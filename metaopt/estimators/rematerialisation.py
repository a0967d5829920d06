"""What backpropagation through a scan keeps, and what it computes again.

Segments of segments: with L levels, n steps are cut into about n^(1/L) segments, each into as many,
and so on. L n^(1/L) states are kept, and a step is computed at most L + 1 times. With log2 n levels
that is halving, close to the optimum for its memory (Griewank and Walther 2000,
https://doi.org/10.1145/347837.347846).
"""

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp

# Kept for n steps:  none  all intermediate values      step  the states before all steps
#                    sqrt  about 2 sqrt(n) of those     treeverse  about 2 log2(n) of those
Remat: TypeAlias = Literal["none", "step", "sqrt", "treeverse"]

Body: TypeAlias = Callable[[Any, jax.Array], tuple[Any, Any]]


def scan(body: Body, state: Any, keys: jax.Array, remat: Remat) -> tuple[Any, Any]:
    """`jax.lax.scan(body, state, keys)`, differentiated with the memory that `remat` asks for."""
    if remat == "none":
        return jax.lax.scan(body, state, keys)
    levels = {"step": 1, "sqrt": 2, "treeverse": max(1, math.ceil(math.log2(max(2, len(keys)))))}
    return _scan_segments(body, state, keys, levels[remat])


def _scan_segments(body: Body, state: Any, keys: jax.Array, levels: int) -> tuple[Any, Any]:
    num_segments = round(len(keys) ** (1 / levels))
    segment = len(keys) // num_segments
    if levels == 1 or segment < 2 or num_segments < 2:
        return jax.lax.scan(jax.checkpoint(body), state, keys)
    num_whole = num_segments * segment

    @jax.checkpoint
    def scan_segment(state: Any, keys: jax.Array) -> tuple[Any, Any]:
        return _scan_segments(body, state, keys, levels - 1)

    state, whole = jax.lax.scan(scan_segment, state, keys[:num_whole].reshape(-1, segment))
    whole = jax.tree.map(lambda x: x.reshape(num_whole, *x.shape[2:]), whole)
    if num_whole == len(keys):
        return state, whole
    # Fewer steps than segments; cut up in turn, they would double the program at every level.
    state, rest = jax.lax.scan(jax.checkpoint(body), state, keys[num_whole:])
    return state, jax.tree.map(lambda x, y: jnp.concatenate([x, y]), whole, rest)
