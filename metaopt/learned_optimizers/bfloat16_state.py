"""Any optimizer with half the memory: its accumulators are bfloat16 between updates.

An average of decay 0.999 moves by a thousandth of the way in a step, and bfloat16 has steps of a
256th: rounded to the nearest, an average would stay where it is. So it is rounded up or down at
random, with probabilities that make it right on average.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaopt.learned_optimizers.base import transformation


class Bfloat16State(NamedTuple):
    """A state whose float32 arrays with numbers for every parameter are bfloat16."""

    step: jax.Array  # [] int32
    inner: Any


def with_bfloat16_state(
    optimizer: optax.GradientTransformationExtraArgs,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer with accumulators that are float32 within an update and bfloat16 between.

    Steps, what is remembered of whole tensors or of the loss, and accumulators of float64
    parameters stay as they are. The rounding depends on nothing but the step and the position in
    an array, so that a run gives the same bits again.
    """

    def init(params: Any) -> Bfloat16State:
        step = jnp.zeros((), jnp.int32)
        return Bfloat16State(step, _narrow(optimizer, optimizer.init(params), step))

    def update(gradients: Any, state: Bfloat16State, params: Any, **extra_args: Any):
        wide = optax.tree.map_params(optimizer, _widened, state.inner)
        updates, wide = optimizer.update(gradients, wide, params, **extra_args)
        step = jnp.asarray(optax.safe_increment(state.step))
        return updates, Bfloat16State(step, _narrow(optimizer, wide, step))

    return transformation(init, update)


def stochastically_rounded(x: jax.Array, step: jax.Array) -> jax.Array:
    """A float32 array as bfloat16: one of the two neighbours, and `x` in the mean over steps."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    # What is added carries into the 16 bits that stay as often as those that go are large.
    kept = (bits + (_noise(x.shape, step) >> 16)) >> 16
    rounded = jax.lax.bitcast_convert_type(kept.astype(jnp.uint16), jnp.bfloat16)
    return jnp.where(jnp.isfinite(x), rounded, x.astype(jnp.bfloat16))


def _narrow(optimizer: optax.GradientTransformationExtraArgs, state: Any, step: jax.Array) -> Any:
    narrowed = lambda x: stochastically_rounded(x, step) if x.dtype == jnp.float32 else x
    return optax.tree.map_params(optimizer, narrowed, state)


def _widened(x: jax.Array) -> jax.Array:
    return x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x


def _noise(shape: tuple[int, ...], step: jax.Array) -> jax.Array:
    """32 bits for every element that differ from step to step; the finaliser of MurmurHash3."""
    position = jnp.arange(math.prod(shape), dtype=jnp.uint32).reshape(shape)
    x = position + step.astype(jnp.uint32) * np.uint32(0x9E3779B9)
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
