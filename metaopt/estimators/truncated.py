"""What estimators have in common whose runs go on between calls, one truncation at a time."""

import abc
import dataclasses

from metaopt.estimators import runs
from metaopt.estimators.base import Context, GradientEstimator
from metaopt.horizons import Fixed, Horizon
from metaopt.learned_optimizers.base import MetaParams
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
