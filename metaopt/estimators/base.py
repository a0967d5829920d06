"""The interface of every gradient estimator, and what it returns."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import LossScale
from taskset.base import Dataset, Key

# What the losses of a whole run come to: their mean, the outer loss of its end, or the least.
Objective: TypeAlias = Literal["mean", "final", "minimum"]

CLEAREST = 1000.0  # standard errors; more is not told apart from no error at all
TINY = 1e-30


class Estimate(NamedTuple):
    """An estimate of d(outer objective)/d(meta-parameters); what is no gradient is [] float32."""

    gradient: MetaParams  # mean over the usable runs, of the structure of the meta-parameters
    meta_loss: jax.Array | np.ndarray | np.float32  # mean over the usable runs, not normalised
    weight: jax.Array | np.ndarray | np.float32  # runs that the means are over
    metrics: dict[str, jax.Array]  # diagnostics; sums over runs; all have those of `mean_of_runs`
    # Of an antithetic estimate: the gradient is the sum of perturbations times these
    pair_weights: jax.Array | np.ndarray | None = None  # [num_tasks] float32


class Context(NamedTuple):
    """What the learner tells an estimate, besides the meta-parameters."""

    outer_step: jax.Array | np.ndarray | np.int32 = np.int32(0)  # [] int32
    loss_scale: LossScale = LossScale()  # of the worker's task
    share: jax.Array | np.ndarray | np.int32 = np.int32(0)  # [] int32, of those that `shares` are


@dataclasses.dataclass(frozen=True)
class GradientEstimator(abc.ABC):
    """Turns unrolls of an inner problem into an `Estimate`.

    A frozen configuration. Between calls everything lives in the state that the caller holds: a
    pytree of arrays whose structure, shapes and dtypes never change.
    """

    problem: InnerProblem
    num_tasks: int = 16  # runs in one estimate; an antithetic pair is one

    @abc.abstractmethod
    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> Any:
        """Starts the runs, staggered over the horizon where the method goes on between calls."""

    @abc.abstractmethod
    def estimate(
        self,
        meta_params: MetaParams,
        state: Any,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, Any]:
        """The next estimate and state. Pure and jittable; everything random comes from `key`.

        A run whose loss is not finite has weight 0, is counted in `metrics["nonfinite_runs"]` and
        starts anew at the next call; the other runs do not notice.
        """

    @property
    def shares(self) -> int:
        """Workers that compute one estimate together, each `Context.share` of its gradient."""
        return 1

    def perturbations_of(self, key: Key, meta_params: MetaParams) -> MetaParams:
        """The perturbations of the estimate with this `key`, leaves [num_tasks, ...].

        Only of methods whose gradient is that of perturbations that are drawn for one estimate, as
        `has_seeds` says.
        """
        raise NotImplementedError

    @property
    def has_seeds(self) -> bool:
        """Whether the gradient is `antithetic.weighted` of `perturbations_of`."""
        return type(self).perturbations_of is not GradientEstimator.perturbations_of

    @property
    @abc.abstractmethod
    def inner_steps(self) -> int:
        """Inner steps that one call of `estimate` computes at most, both signs counted."""


def mean_of_runs(gradients: MetaParams, losses: jax.Array, usable: jax.Array) -> Estimate:
    """The mean over usable runs: gradients, leaves [num_tasks, ...], and losses, [num_tasks].

    Its metrics are "nonfinite_runs", the runs that are not usable, and over the others sums of the
    squared norms of their gradients, "squared_norms", and of what `_clarity` says of their mean, as
    often as there are runs, "clear_share" and "clearest"; `diagnostics` makes sense of them.
    """
    weight = jnp.sum(usable).astype(jnp.float32)
    clear_share, clearest = _clarity(usable, gradients)
    return Estimate(
        gradient=jax.tree.map(lambda g: mean_over(usable, g), gradients),
        meta_loss=mean_over(usable, losses),
        weight=weight,
        metrics={
            "nonfinite_runs": usable.size - weight,
            "squared_norms": jnp.sum(jnp.where(usable, _squared_norms(gradients), 0.0)),
            "clear_share": weight * clear_share,
            "clearest": weight * clearest,
        },
    )


def _clarity(usable: jax.Array, gradients: MetaParams) -> tuple[jax.Array, jax.Array]:
    """How far the mean of each coordinate is from 0, in standard errors.

    Returns the share of the coordinates where it is over 2, and the greatest, up to `CLEAREST`,
    each [] float32; 0 where there are not two runs. `gradients` have leaves [num_tasks, ...].
    """

    def standard_errors(values: jax.Array) -> jax.Array:
        num = jnp.maximum(jnp.sum(usable), 1).astype(values.dtype)
        error = jnp.sqrt(variance_over(usable, values) / num)
        mean = jnp.abs(mean_over(usable, values))
        ratio = jnp.where(mean > CLEAREST * error, CLEAREST, mean / jnp.maximum(error, TINY))
        return jnp.where(mean > 0, ratio, 0.0).astype(jnp.float32).reshape(-1)

    ratios = jnp.concatenate([standard_errors(leaf) for leaf in jax.tree.leaves(gradients)])
    enough = jnp.sum(usable) >= 2
    share, greatest = jnp.mean((ratios > 2).astype(jnp.float32)), jnp.max(ratios)
    return jnp.where(enough, share, 0.0), jnp.where(enough, greatest, 0.0)


def _squared_norms(gradients: MetaParams) -> jax.Array:
    """Of each run, [num_tasks]."""
    squared_norm = lambda g: jnp.sum(jnp.square(g).reshape(len(g), -1), axis=1)
    of_leaves = [squared_norm(leaf).astype(jnp.float32) for leaf in jax.tree.leaves(gradients)]
    return jnp.sum(jnp.stack(of_leaves), axis=0)


def joined(shares: Sequence[Estimate]) -> Estimate:
    """The estimate that each of `shares` has a share of the gradient of; numpy float32."""
    of = lambda name: [np.asarray(share.metrics[name]) for share in shares]
    add = lambda *xs: np.sum(np.stack(xs), axis=0, dtype=np.float32)
    metrics = {name: np.max(of(name)) for name in shares[0].metrics}  # what all say of their runs
    metrics |= {name: add(*of(name)) for name in ("squared_norms", "clear_share")}
    return Estimate(
        jax.tree.map(add, *(share.gradient for share in shares)),
        shares[0].meta_loss,
        np.min([share.weight for share in shares]),
        metrics,
    )


def mean_over(usable: jax.Array, values: jax.Array) -> jax.Array:
    """The mean over runs of `values`, [num_tasks, ...], where `usable`, [num_tasks] bool.

    It is 0 where no run is usable. What unusable runs hold cannot reach it, NaN included.
    """
    mask = usable.reshape(usable.shape + (1,) * (values.ndim - 1))
    total = jnp.sum(jnp.where(mask, values, 0.0), axis=0)
    return total / jnp.maximum(jnp.sum(usable), 1).astype(values.dtype)


def variance_over(usable: jax.Array, values: jax.Array) -> jax.Array:
    """The variance over runs of `values`, as `mean_over` takes them; 0 with fewer than two."""
    num = jnp.maximum(jnp.sum(usable), 2).astype(values.dtype)
    squares = jnp.square(values - mean_over(usable, values)[None])
    return mean_over(usable, squares) * num / (num - 1)


def is_finite(tree: MetaParams) -> jax.Array:
    """Whether all numbers of `tree` are finite: [] bool."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]))
