"""Antithetic pairs: the perturbations of evolution strategies, and the gradient they give."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaopt.estimators import runs
from metaopt.estimators.base import Estimate, mean_over
from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import LossScale, Normalization, difference, normalize
from taskset.base import Dataset, Key


class PairLoss(NamedTuple):
    """What the losses of an antithetic pair come to."""

    mean: jax.Array  # [] float32, over both signs, not normalised
    difference: jax.Array  # [] float32, positive minus negative, normalised
    usable: jax.Array  # [] bool, whether every loss was finite


def normal_like(key: Key, tree: MetaParams, stddev: float) -> MetaParams:
    """Independent normal noise of the shapes and dtypes of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    noise = [
        stddev * jax.random.normal(k, jnp.shape(x), jnp.result_type(x))
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, noise)


def as_pair(meta_params: MetaParams, noise: MetaParams) -> MetaParams:
    """`meta_params` plus and minus `noise`, stacked: leaves [2, ...]."""
    return jax.tree.map(lambda x, e: jnp.stack([x + e, x - e]), meta_params, noise)


def doubled(state: Any) -> Any:
    """One state for both signs: leaves [2, ...]."""
    return jax.tree.map(lambda x: jnp.stack([x, x]), state)


def unroll_pair(
    problem: InnerProblem, pair: MetaParams, states: Any, data: Dataset, key: Key, num_steps: int
) -> tuple[Any, jax.Array]:
    """Unrolls both signs side by side: the next states, leaves [2, ...], and losses [2, num_steps].

    What does not depend on the sign, batches and keys above all, is the same for the two and
    computed once.
    """
    one_sign = lambda at, state: runs.unroll(problem, at, state, data, key, num_steps)
    return jax.vmap(one_sign)(pair, states)


def pair_loss(
    losses: jax.Array, within: jax.Array, kind: Normalization, scale: LossScale
) -> PairLoss:
    """The losses of a pair, [2, num_steps], averaged over the steps `within` it, [num_steps]."""
    means = jax.vmap(runs.mean_within, in_axes=(0, None))(losses, within)
    positive, negative = normalize(means, kind, scale)
    return PairLoss(
        mean=jnp.mean(means),
        difference=difference(positive, negative, kind),
        usable=runs.all_finite(losses, within),
    )


def estimate(noise: MetaParams, losses: PairLoss, stddev: float) -> Estimate:
    """The antithetic estimate: the mean over usable runs of noise * difference / (2 stddev^2).

    The leaves of `noise` are [num_tasks, ...], those of `losses` [num_tasks].
    """
    scale = losses.difference / (2 * stddev**2)

    def gradient(noise: jax.Array) -> jax.Array:
        weighted = noise * scale.reshape(scale.shape + (1,) * (noise.ndim - 1))
        return mean_over(losses.usable, weighted)

    weight = jnp.sum(losses.usable).astype(jnp.float32)
    return Estimate(
        gradient=jax.tree.map(gradient, noise),
        meta_loss=mean_over(losses.usable, losses.mean),
        weight=weight,
        metrics={"nonfinite_runs": losses.usable.size - weight},
    )
