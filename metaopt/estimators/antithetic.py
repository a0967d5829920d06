"""Antithetic pairs: the perturbations of evolution strategies, and the gradient they give."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from metaopt.estimators import runs
from metaopt.estimators.base import Estimate, mean_of_runs
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.rematerialisation import Remat
from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import LossScale, Normalization, difference, normalize, shape
from taskset.base import Dataset, Key
from taskset.networks.initializers import q_factor

# independent  of task to task
# orthogonal   as many at a time as there are meta-parameters; each by itself is as likely as before
Perturbations: TypeAlias = Literal["independent", "orthogonal"]


class PairLoss(NamedTuple):
    """What the losses of an antithetic pair come to."""

    mean: jax.Array  # [] float32, over both signs, not normalised
    difference: jax.Array  # [] float32, positive minus negative, normalised
    usable: jax.Array  # [] bool, whether every loss was finite
    objective: jax.Array  # [] float32, mean over both signs, normalised


def keys_of_tasks(key: Key, num_tasks: int, num: int = 3) -> tuple[Key, ...]:
    """`num` keys of every task, each [num_tasks]."""
    split = jax.vmap(lambda key: jax.random.split(key, num))
    return tuple(jnp.moveaxis(split(split_over_tasks(key, num_tasks)), 1, 0))


def draw(keys: Key, meta_params: MetaParams, stddev: float, kind: Perturbations) -> MetaParams:
    """A perturbation for each of `keys`, [num_tasks]: leaves [num_tasks, ...]."""
    noise = jax.vmap(lambda key: normal_like(key, meta_params, stddev))(keys)
    return orthogonalized(noise) if kind == "orthogonal" else noise


def normal_like(key: Key, tree: MetaParams, stddev: float) -> MetaParams:
    """Independent normal noise of the shapes and dtypes of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    noise = [
        stddev * jax.random.normal(k, jnp.shape(x), jnp.result_type(x))
        for k, x in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, noise)


def orthogonalized(noise: MetaParams) -> MetaParams:
    """Normal noise, leaves [num_tasks, ...], turned so that it is orthogonal from task to task.

    Lengths stay, and directions remain uniform: each perturbation is distributed as before. No more
    than num_params can be orthogonal to each other, so there are groups of that many.
    """
    flat = jax.vmap(lambda tree: ravel_pytree(tree)[0])(noise)
    num_tasks, num_params = flat.shape
    num_grouped = num_tasks // num_params * num_params
    groups = jax.vmap(_orthogonal_rows)(flat[:num_grouped].reshape(-1, num_params, num_params))
    rest = _orthogonal_rows(flat[num_grouped:])
    turned = jnp.concatenate([groups.reshape(num_grouped, num_params), rest])
    return jax.vmap(ravel_pytree(jax.tree.map(lambda x: x[0], noise))[1])(turned)


def _orthogonal_rows(rows: jax.Array) -> jax.Array:
    return q_factor(rows.T).T * jnp.linalg.norm(rows, axis=1, keepdims=True)


def as_pair(meta_params: MetaParams, noise: MetaParams) -> MetaParams:
    """`meta_params` plus and minus `noise`, stacked: leaves [2, ...]."""
    return jax.tree.map(lambda x, e: jnp.stack([x + e, x - e]), meta_params, noise)


def doubled(state: Any) -> Any:
    """One state for both signs: leaves [2, ...]."""
    return jax.tree.map(lambda x: jnp.stack([x, x]), state)


def positive(states: Any) -> Any:
    """Of the states of both signs, that of the positive one."""
    return jax.tree.map(lambda x: x[0], states)


def unroll_pair(
    problem: InnerProblem,
    pair: MetaParams,
    states: Any,
    data: Dataset,
    key: Key,
    num_steps: int,
    remat: Remat = "none",
) -> tuple[Any, jax.Array]:
    """Unrolls both signs side by side: the next states, leaves [2, ...], and losses [2, num_steps].

    What does not depend on the sign, batches and keys above all, is the same for the two and
    computed once.
    """
    one_sign = lambda at, state: runs.unroll(problem, at, state, data, key, num_steps, remat)
    return jax.vmap(one_sign)(pair, states)


def gradient_of_pair(
    objective: Callable[[MetaParams], tuple[jax.Array, Any]], pair: MetaParams
) -> tuple[MetaParams, Any]:
    """The gradient by the centre of `pair`, leaves [2, ...], and what `objective` returns besides.

    `objective` is a mean over both signs.
    """
    gradients, rest = jax.grad(objective, has_aux=True)(pair)
    return jax.tree.map(lambda g: jnp.sum(g, axis=0), gradients), rest


def pair_loss(
    losses: jax.Array, within: jax.Array, kind: Normalization, scale: LossScale
) -> PairLoss:
    """The losses of a pair, [2, num_steps], averaged over the steps `within` it, [num_steps]."""
    means = jax.vmap(runs.mean_within, in_axes=(0, None))(losses, within)
    normalized = normalize(means, kind, scale)
    return _pair_loss(means, normalized, runs.all_finite(losses, within), kind)


def telescoped_loss(
    before: jax.Array,
    after: jax.Array,
    share: jax.Array,
    is_first: jax.Array,
    kind: Normalization,
    scale: LossScale,
) -> PairLoss:
    """What a truncation changes of the outer losses of a pair, each [2], `before` and `after` it.

    Divided by `share`, that of the truncation in its run: the mean of this over the truncations of
    a run is the loss at its end. In the first truncation, what was before counts as zero.
    """
    start = jnp.where(is_first, 0.0, normalize(before, kind, scale))
    change = (normalize(after, kind, scale) - start) / share
    usable = jnp.all(jnp.isfinite(after)) & (is_first | jnp.all(jnp.isfinite(before)))
    return _pair_loss(after, change, usable, kind)


def _pair_loss(
    losses: jax.Array, normalized: jax.Array, usable: jax.Array, kind: Normalization
) -> PairLoss:
    return PairLoss(
        mean=jnp.mean(losses),
        difference=difference(normalized[0], normalized[1], kind),
        usable=usable,
        objective=jnp.mean(normalized),
    )


def estimate(
    noise: MetaParams, losses: PairLoss, stddev: float, kind: Normalization = "none"
) -> Estimate:
    """The antithetic estimate: the mean over usable runs of noise * difference / (2 stddev^2).

    The leaves of `noise` are [num_tasks, ...], those of `losses` [num_tasks].
    """
    mean = mean_of_runs(gradients(noise, losses, stddev, kind), losses.mean, losses.usable)
    weights = jnp.where(losses.usable, _scale(losses, stddev, kind), 0.0)
    return mean._replace(pair_weights=weights / jnp.maximum(mean.weight, 1.0))


def weighted(noise: MetaParams, pair_weights: jax.Array) -> MetaParams:
    """The gradient of the estimate that had these perturbations and `pair_weights`."""
    return jax.tree.map(lambda x: jnp.tensordot(pair_weights.astype(x.dtype), x, 1), noise)


def gradients(
    noise: MetaParams, losses: PairLoss, stddev: float, kind: Normalization = "none"
) -> MetaParams:
    """What each pair contributes to the antithetic estimate, leaves [num_tasks, ...]."""
    scale = _scale(losses, stddev, kind)
    return jax.tree.map(lambda x: x * scale.reshape(scale.shape + (1,) * (x.ndim - 1)), noise)


def _scale(losses: PairLoss, stddev: float, kind: Normalization) -> jax.Array:
    return shape(losses.difference, losses.usable, kind) / (2 * stddev**2)
