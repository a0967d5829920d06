"""What networks with a state per tensor look at: statistics of the tensor, and losses.

The statistics are those of Metz et al. 2020 (https://arxiv.org/abs/2009.11243), all of order 1.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

LOG_LIMIT = 5.0  # of logarithms
LOG_EPSILON = 1e-8  # added to what a logarithm is taken of
NORM_EPSILON = 1e-30  # the least sum of squares, so that a norm has a derivative
NUM_STATISTICS = 16
NUM_DIMENSIONS = 4  # axes of which the size is a feature
LOSS_LIMIT = 5.0  # deviations
LOSS_EPSILON = 1e-8  # added to a variance under a root
# What an export says of them.
CONSTANTS = {
    "log_limit": LOG_LIMIT,
    "log_epsilon": LOG_EPSILON,
    "norm_epsilon": NORM_EPSILON,
    "loss_limit": LOSS_LIMIT,
    "loss_epsilon": LOSS_EPSILON,
}


def log_size(x: jax.Array) -> jax.Array:
    """The logarithm of |x|, clipped to +-5."""
    return jnp.clip(jnp.log(LOG_EPSILON + jnp.abs(x)), -LOG_LIMIT, LOG_LIMIT)


def norm(x: jax.Array) -> jax.Array:
    """The Euclidean norm of a tensor, []; its derivative at 0 is 0."""
    return jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(x)), NORM_EPSILON))


def tensor_statistics(
    gradient: jax.Array,
    param: jax.Array,
    momentum: Sequence[jax.Array],
    second_moment: Sequence[jax.Array],
) -> jax.Array:
    """[16] float32, with moments over all parameters of the tensor and all decays together.

    In this order: log size and sign of the mean momentum, log size of its variance; the same of the
    second moment; the same of the parameter; log size of the norms of parameter and gradient; 1 for
    a scalar and -1 for others; log(size) - 1 of four axes, where further axes count into the
    fourth and missing ones are of size 1.
    """
    moments = []
    for arrays in (momentum, second_moment, [param]):
        mean = jnp.mean(jnp.stack([jnp.mean(x) for x in arrays]))
        square = jnp.mean(jnp.stack([jnp.mean(jnp.square(x)) for x in arrays]))
        variance = jnp.maximum(square - jnp.square(mean), 0.0)
        moments += [log_size(mean), jnp.sign(mean), log_size(variance)]
    values = [*moments, log_size(norm(param)), log_size(norm(gradient))]
    fixed = [1.0 if param.ndim == 0 else -1.0, *_log_dimensions(param.shape)]
    return jnp.stack([x.astype(jnp.float32) for x in values] + [jnp.float32(x) for x in fixed])


def _log_dimensions(shape: tuple[int, ...]) -> list[float]:
    sizes = [*shape[: NUM_DIMENSIONS - 1], math.prod(shape[NUM_DIMENSIONS - 1 :])]
    sizes += [1] * (NUM_DIMENSIONS - len(sizes))
    return [math.log(size) - 1.0 for size in sizes]


class LossMoments(NamedTuple):
    """Moving averages of a loss, biased towards their start at 0."""

    mean: jax.Array  # [] float32
    variance: jax.Array  # [] float32, of the loss about the mean as it was then
    num_seen: jax.Array  # [] int32, losses


def no_losses() -> LossMoments:
    """Before the first loss."""
    zero = jnp.zeros((), jnp.float32)
    return LossMoments(zero, zero, jnp.zeros((), jnp.int32))


def observe(moments: LossMoments, loss: Any, decay: float) -> LossMoments:
    """The moments after a loss, []; the same as before where it is None or not finite."""
    if loss is None:
        return moments
    loss = jnp.asarray(loss).astype(jnp.float32)
    mean = decay * moments.mean + (1 - decay) * loss
    variance = decay * moments.variance + (1 - decay) * jnp.square(mean - loss)
    seen = LossMoments(mean, variance, moments.num_seen + 1)
    usable = jnp.isfinite(loss)
    return jax.tree.map(lambda new, old: jnp.where(usable, new, old), seen, moments)


def mean_loss(moments: LossMoments, decay: float) -> jax.Array:
    """The mean without its bias, []; 0 before the first loss."""
    return moments.mean / _known(moments, decay)


def relative_loss(loss: Any, moments: LossMoments, decay: float) -> jax.Array:
    """The distance of a loss from the mean, [] float32, in deviations clipped to +-5.

    It is 0 where the loss is None or not finite, and before the first.
    """
    if loss is None:
        return jnp.zeros((), jnp.float32)
    loss = jnp.asarray(loss).astype(jnp.float32)
    known = _known(moments, decay)
    inverse_deviation = jax.lax.rsqrt(moments.variance / known + LOSS_EPSILON)
    distance = (jnp.where(jnp.isfinite(loss), loss, 0.0) - moments.mean / known) * inverse_deviation
    usable = jnp.isfinite(loss) & (moments.num_seen > 0)
    return jnp.where(usable, jnp.clip(distance, -LOSS_LIMIT, LOSS_LIMIT), 0.0)


def _known(moments: LossMoments, decay: float) -> jax.Array:
    known = 1 - decay ** moments.num_seen.astype(jnp.float32)
    return jnp.where(moments.num_seen > 0, known, 1.0)
