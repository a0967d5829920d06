"""What per-parameter learned optimizers look at: decays, factored statistics, scales, time."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

TIME_SCALES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)  # inner steps
SCALE_EPSILON = 1e-5  # under the root of the scale of a feature


def time_features(step: jax.Array, time_scales: Sequence[int] = TIME_SCALES) -> jax.Array:
    """tanh(step / x - 1) for the scales x: [scales] float32. `step` is [] int32, 0 at first."""
    scales = jnp.asarray(time_scales, jnp.float32)
    return jnp.tanh(step.astype(jnp.float32) / scales - 1.0)


def inverse_rms(x: jax.Array) -> jax.Array:
    """What a feature is multiplied by so that its mean square over the tensor is 1: []."""
    return jax.lax.rsqrt(jnp.mean(jnp.square(x)) + SCALE_EPSILON)


def averages(decays: Sequence[float], old: Sequence[jax.Array], new: jax.Array) -> list[jax.Array]:
    """The moving averages of one quantity after `new`, one for each decay."""
    return [d * x + (1 - d) * new for d, x in zip(decays, old, strict=True)]


def root(square: jax.Array) -> jax.Array:
    """The root; 0, with the derivative 0, of what is 0."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def offset_decays(initial: Sequence[float], offsets: jax.Array) -> jax.Array:
    """Meta-learned decays 1 - exp(10 * (log(1 - initial) / 10 + offset)), shape of `offsets`.

    An offset of 0 gives the initial decay (Metz et al. 2022, arXiv:2203.11860).
    """
    start = np.log(1 - np.asarray(initial, np.float64)) / 10
    return 1.0 - jnp.exp(10.0 * (jnp.asarray(start, jnp.float32) + offsets))


class FactoredAxes(NamedTuple):
    """The two largest axes of a tensor, over which its second moment is factored."""

    row: int  # the axis along which row statistics vary
    column: int


def factored_axes(shape: tuple[int, ...]) -> FactoredAxes | None:
    """The two largest axes, the second largest first; None for fewer than two axes (Adafactor)."""
    if len(shape) < 2:
        return None
    by_size = np.argsort(shape, kind="stable")
    return FactoredAxes(int(by_size[-2]), int(by_size[-1]))
