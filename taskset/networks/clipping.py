"""Clipping that leaves the gradient alone, so that what is out of bounds can come back."""

from functools import partial

import jax
import jax.numpy as jnp


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def clip_preserving_gradient(x: jax.Array, low: float, high: float) -> jax.Array:
    """`x` within [low, high], with the gradient of `x` itself."""
    return jnp.clip(x, low, high)


@clip_preserving_gradient.defjvp
def _jvp(low, high, primals, tangents):
    return clip_preserving_gradient(*primals, low, high), tangents[0]
