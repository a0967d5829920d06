"""Loss normalisation: what makes losses of different tasks comparable in one outer gradient.

It belongs to the outer objective alone; inner training sees the losses as they are. What is
normalised is the mean loss of a truncation, not that of a step: the logarithm of single minibatches
rewards being very sure on most of them, and forgives being wrong on a few.
"""

from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from taskset.errors import InputError

# none      the loss itself
# baseline  linear, so that the initial loss is 1 and the best of tuned Adam is 0, clipped to +-2
#           (Metz et al. 2020, arXiv:2009.11243, section 2.1)
# log       the logarithm of the loss (Wichrowska et al. 2017, arXiv:1703.04813)
# sign      evolution strategies only: the sign of the difference of a pair (VeLO, arXiv:2211.09760)
# rank      evolution strategies only: that sign times the rank of its size among the pairs of an
#           estimate, between 0 and 1 (after Salimans et al. 2017, arXiv:1703.03864, section 2)
Normalization: TypeAlias = Literal["none", "baseline", "log", "sign", "rank"]

CLIP = 2.0
SMALLEST_LOSS = 1e-8  # `log` of anything below is taken here


class LossScale(NamedTuple):
    """Two losses of a task, each [] float32, from a run of baselines; the identity unless given."""

    initial: jax.Array | np.ndarray | np.float32 = np.float32(1.0)  # of the untrained parameters
    best: jax.Array | np.ndarray | np.float32 = np.float32(0.0)  # of the best baseline


def normalize(losses: jax.Array, kind: Normalization, scale: LossScale) -> jax.Array:
    """`losses` of any shape as the outer objective takes them."""
    if kind == "baseline":
        return jnp.clip((losses - scale.best) / (scale.initial - scale.best), -CLIP, CLIP)
    if kind == "log":
        return jnp.log(jnp.maximum(losses, SMALLEST_LOSS))
    return losses


def difference(positive: jax.Array, negative: jax.Array, kind: Normalization) -> jax.Array:
    """The difference of antithetic losses, or its sign."""
    return jnp.sign(positive - negative) if kind == "sign" else positive - negative


def shape(differences: jax.Array, usable: jax.Array, kind: Normalization) -> jax.Array:
    """The differences of all pairs of an estimate, [num_tasks], or their signed ranks.

    Pairs that are not `usable`, [num_tasks] bool, have no part in the ranks of others.
    """
    if kind != "rank":
        return differences
    size = jnp.where(usable, jnp.abs(differences), jnp.inf)
    rank = (jnp.argsort(jnp.argsort(size)) + 1).astype(jnp.float32)
    num_usable = jnp.maximum(jnp.sum(usable), 1).astype(jnp.float32)
    return jnp.sign(differences) * rank / num_usable


def check_differentiable(kind: Normalization) -> None:
    """Raises `InputError` for a normalisation that backpropagation cannot take."""
    if kind in ("sign", "rank"):
        raise InputError(
            f"normalization {kind!r} has no gradient to backpropagate; "
            "use 'none', 'baseline' or 'log', or an evolution strategy"
        )
