"""The part of a state that has derivatives: floating-point leaves, not counters and keys."""

from typing import Any

import jax
import jax.numpy as jnp


def real_leaves(state: Any) -> list[jax.Array]:
    """The leaves of `state` that have derivatives."""
    return [leaf for leaf in jax.tree.leaves(state) if _is_real(leaf)]


def with_real_leaves(state: Any, leaves: list[jax.Array]) -> Any:
    """`state` with `leaves` in the place of its `real_leaves`."""
    old, structure = jax.tree.flatten(state)
    new = iter(leaves)
    return structure.unflatten([next(new) if _is_real(leaf) else leaf for leaf in old])


def _is_real(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jnp.inexact)
