"""How far training has come and how its loss goes: 18 numbers that schedule a whole optimizer.

VeLO, Metz et al. 2022 (https://arxiv.org/abs/2211.09760).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

FRACTIONS = (0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1)  # of training
NUM_AVERAGES = 10
SHORTEST = 10  # inner steps in which an average forgets all but 1/e
CAP = 2.0  # a loss counts as at most this times the largest average
LEAST_DISTANCE = 1e-8  # of an average above the least of a shorter one
FIRST_STEPS = 2  # without features of the loss
FEATURES = {"share of training done": len(FRACTIONS), "trend of the loss": NUM_AVERAGES - 1}
CONSTANTS = {
    "fractions": FRACTIONS,
    "num_loss_averages": NUM_AVERAGES,
    "shortest_average": SHORTEST,
    "loss_cap": CAP,
    "least_loss_distance": LEAST_DISTANCE,
    "first_steps": FIRST_STEPS,
}


class LossTrend(NamedTuple):
    """Averages of a loss, from a short one to a long one."""

    average: jax.Array  # [10] float32, biased towards 0
    least: jax.Array  # [10] float32, of each average without its bias, so far
    num_seen: jax.Array  # [] int32, losses


def no_losses() -> LossTrend:
    """Before the first loss."""
    zeros = jnp.zeros(NUM_AVERAGES, jnp.float32)
    return LossTrend(
        zeros, jnp.full_like(zeros, np.finfo(np.float32).max), jnp.zeros((), jnp.int32)
    )


def observe(trend: LossTrend, loss: Any, longest: int) -> LossTrend:
    """The averages after a loss, []; the same as before where it is None or not finite.

    `longest` is over how many inner steps the longest average is.
    """
    if loss is None:
        return trend
    loss = jnp.asarray(loss).astype(jnp.float32)
    usable = jnp.isfinite(loss)
    cap = CAP * jnp.abs(jnp.max(_unbiased(trend, longest)))
    counted = jnp.where(trend.num_seen > 0, jnp.minimum(loss, cap), loss)
    decays = _decays(longest)
    average = decays * trend.average + (1 - decays) * jnp.where(usable, counted, 0.0)
    seen = LossTrend(average, trend.least, trend.num_seen + 1)
    seen = seen._replace(least=jnp.minimum(trend.least, _unbiased(seen, longest)))
    return jax.tree.map(lambda new, old: jnp.where(usable, new, old), seen, trend)


def schedule_features(step: jax.Array, trend: LossTrend, num_steps: int, longest: int) -> jax.Array:
    """9 numbers that say how far `step`, [] int32, is, and 9 of the loss: [18] float32.

    A number of the loss is clip((a - l) / (b - l) - 1, +-1), with an average a, its least value so
    far l, and the next longer average b: negative where the loss falls.
    """
    fraction = step.astype(jnp.float32) / num_steps
    progress = jnp.tanh(10.0 * (fraction - jnp.asarray(FRACTIONS, jnp.float32)))
    averages = _unbiased(trend, longest)
    distance = jnp.maximum(averages[1:] - trend.least[:-1], LEAST_DISTANCE)
    relative = jnp.clip((averages[:-1] - trend.least[:-1]) / distance - 1.0, -1.0, 1.0)
    known = trend.num_seen > FIRST_STEPS
    return jnp.concatenate([progress, jnp.where(known, relative, 0.0)])


def _decays(longest: int) -> jax.Array:
    times = np.geomspace(SHORTEST, max(longest, SHORTEST), NUM_AVERAGES)
    return jnp.asarray(np.exp(-1 / times), jnp.float32)


def _unbiased(trend: LossTrend, longest: int) -> jax.Array:
    known = 1 - _decays(longest) ** trend.num_seen.astype(jnp.float32)
    return trend.average / jnp.where(trend.num_seen > 0, known, 1.0)
