"""What estimators have in common whose runs end with the call."""

import abc
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaopt.estimators.at_once import over_tasks, shapes_of
from metaopt.estimators.base import Context, Estimate, GradientEstimator, mean_of_runs
from metaopt.estimators.devices import split_over_tasks
from metaopt.horizons import Fixed, Horizon
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization, check_differentiable, normalize
from taskset.base import Dataset, Key
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class WholeRunEstimator(GradientEstimator, abc.ABC):
    """An estimate is over `num_tasks` whole runs. There is no state."""

    horizon: Horizon = Fixed(200)

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> tuple[()]:
        del meta_params, data, key, context
        return ()


class RunGradient(NamedTuple):
    """What one run has to say."""

    gradient: MetaParams  # of the normalised objective
    loss: jax.Array  # [], the objective itself
    usable: jax.Array  # [] bool
    metrics: dict[str, jax.Array]  # what this method knows besides, [] float32 each


class RunKeys(NamedTuple):
    """The randomness of a run: the same key gives the same run to every method."""

    init: Key
    steps: Key  # [num_steps]
    final: Key  # of the outer loss at its end

    @classmethod
    def split(cls, key: Key, num_steps: int) -> "RunKeys":
        """The keys of the run of `key`."""
        key_init, key_steps, key_final = jax.random.split(key, 3)
        return cls(key_init, jax.random.split(key_steps, num_steps), key_final)


@dataclasses.dataclass(frozen=True)
class DifferentiatedRuns(WholeRunEstimator, abc.ABC):
    """One that differentiates each of its runs.

    All have one length, for a derivative takes a program of a fixed number of steps: raises
    `InputError` for other horizons, and for a normalisation without a gradient.
    """

    normalization: Normalization = "none"

    def __post_init__(self) -> None:
        check_differentiable(self.normalization)
        shortest, longest = self.horizon.bounds()
        if shortest != longest:
            raise InputError(
                f"{type(self).__name__} takes runs of one length, and horizons are {shortest} to "
                f"{longest}; use a Fixed horizon, or TruncatedBackprop"
            )

    @property
    def inner_steps(self) -> int:
        return self.num_tasks * self._num_steps

    @property
    def _num_steps(self) -> int:
        return self.horizon.bounds()[1]

    def estimate(
        self,
        meta_params: MetaParams,
        state: tuple[()],
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, tuple[()]]:
        def one_run(key: Key) -> RunGradient:
            keys = RunKeys.split(key, self._num_steps)
            return self.differentiate(meta_params, data, keys, context)

        keys = split_over_tasks(key, self.num_tasks)
        states = shapes_of(lambda key: self.problem.init(meta_params, data, key), keys)
        runs = over_tasks(one_run, keys, like=states, differentiates=True)
        estimate = mean_of_runs(runs.gradient, runs.loss, runs.usable)
        more = {name: jnp.sum(metric) for name, metric in runs.metrics.items()}
        return estimate._replace(metrics=estimate.metrics | more), state

    @abc.abstractmethod
    def differentiate(
        self, meta_params: MetaParams, data: Dataset, keys: RunKeys, context: Context
    ) -> RunGradient:
        """The gradient of the run of `keys`."""

    def _final_loss(
        self, meta_params: MetaParams, end: Any, data: Dataset, keys: RunKeys, context: Context
    ) -> tuple[jax.Array, jax.Array]:
        """The outer loss of the end of a run, normalised and as it is, each []."""
        loss = self.problem.outer_loss(meta_params, end, data, keys.final)
        return normalize(loss, self.normalization, context.loss_scale), loss
