"""The interface of every gradient estimator, and what it returns."""

import abc
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import LossScale
from taskset.base import Dataset, Key


class Estimate(NamedTuple):
    """An estimate of d(outer objective)/d(meta-parameters); what is no gradient is [] float32."""

    gradient: MetaParams  # mean over the usable runs, of the structure of the meta-parameters
    meta_loss: jax.Array | np.ndarray | np.float32  # mean over the usable runs, not normalised
    weight: jax.Array | np.ndarray | np.float32  # runs that the means are over
    metrics: dict[str, jax.Array]  # diagnostics; all have "nonfinite_runs"


class Context(NamedTuple):
    """What the learner tells an estimate, besides the meta-parameters."""

    outer_step: jax.Array | np.ndarray | np.int32 = np.int32(0)  # [] int32
    loss_scale: LossScale = LossScale()  # of the worker's task


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
    @abc.abstractmethod
    def inner_steps(self) -> int:
        """Inner steps that one call of `estimate` computes at most, both signs counted."""


def mean_over(usable: jax.Array, values: jax.Array) -> jax.Array:
    """The mean over runs of `values`, [num_tasks, ...], where `usable`, [num_tasks] bool.

    It is 0 where no run is usable. What unusable runs hold cannot reach it, NaN included.
    """
    mask = usable.reshape(usable.shape + (1,) * (values.ndim - 1))
    total = jnp.sum(jnp.where(mask, values, 0.0), axis=0)
    return total / jnp.maximum(jnp.sum(usable), 1).astype(values.dtype)
