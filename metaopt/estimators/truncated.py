"""What estimators have in common whose runs go on between calls, one truncation at a time."""

import abc
import dataclasses
from typing import Any

from metaopt.estimators import antithetic, runs
from metaopt.estimators.antithetic import PairLoss, Perturbations
from metaopt.estimators.base import Context, GradientEstimator
from metaopt.estimators.rematerialisation import Remat
from metaopt.horizons import Fixed, Horizon
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class TruncatedEstimator(GradientEstimator, abc.ABC):
    """An estimate is over the next `truncation` inner steps of each of `num_tasks` runs.

    The state is a `runs.Run` of what `_start` draws, leaves [num_tasks, ...].
    """

    truncation: int = 20
    horizon: Horizon = Fixed(200)

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> runs.Run:
        return runs.start_staggered(
            self._start(meta_params, data),
            self.horizon,
            self.truncation,
            self.num_tasks,
            key,
            context,
        )

    def _start(self, meta_params: MetaParams, data: Dataset) -> runs.Start:
        """What a run begins with; that of the inner problem, unless a method keeps more."""
        return lambda key: self.problem.init(meta_params, data, key)

    def _restart(self, run: runs.Run, start: runs.Start, key: Key, context: Context) -> runs.Run:
        """`run`, or a new one when it has ended."""
        return runs.restart_ended(run, start, self.horizon, self.truncation, key, context)


@dataclasses.dataclass(frozen=True)
class AntitheticEstimator(TruncatedEstimator, abc.ABC):
    """One whose runs are antithetic pairs of perturbed meta-parameters."""

    stddev: float = 0.01
    normalization: Normalization = "none"
    perturbations: Perturbations = "independent"

    @property
    def inner_steps(self) -> int:
        return 2 * self.num_tasks * self.truncation

    def _draw(self, keys: Key, meta_params: MetaParams) -> MetaParams:
        """A perturbation for each of `keys`, [num_tasks]: leaves [num_tasks, ...]."""
        return antithetic.draw(keys, meta_params, self.stddev, self.perturbations)

    def _unroll(
        self,
        at: MetaParams,
        states: Any,
        run: runs.Run,
        data: Dataset,
        key: Key,
        context: Context,
        remat: Remat,
    ) -> tuple[Any, PairLoss]:
        """The next truncation of `run`, for the pair `at` from `states`, leaves [2, ...].

        Returns the states of both signs after it, and its losses.
        """
        states, losses = antithetic.unroll_pair(
            self.problem.at(context.outer_step), at, states, data, key, self.truncation, remat
        )
        within = runs.within(run, self.truncation)
        return states, antithetic.pair_loss(losses, within, self.normalization, context.loss_scale)
