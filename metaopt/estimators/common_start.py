"""What antithetic estimators have in common whose signs start a truncation from one state."""

import abc
import dataclasses

from metaopt.estimators import antithetic, runs
from metaopt.estimators.antithetic import PairLoss
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context
from metaopt.estimators.rematerialisation import Remat
from metaopt.estimators.truncated import AntitheticEstimator
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class CommonStartEstimator(AntitheticEstimator, abc.ABC):
    """Antithetic pairs, `num_tasks` of them, `truncation` inner steps at a time.

    A run goes on from the state of the positive sign. The state of the estimator is a `runs.Run` of
    inner states, leaves [num_tasks, ...].
    """

    def _pairs(
        self,
        meta_params: MetaParams,
        noise: MetaParams,
        run: runs.Run,
        data: Dataset,
        keys: tuple[Key, Key],
        context: Context,
    ) -> tuple[runs.Run, PairLoss]:
        """The runs after their next truncation at `meta_params` and `noise`, and the losses of it.

        All leaves are [num_tasks, ...]; `keys` are to start new runs where some have ended, and to
        unroll.
        """

        def one_task(run: runs.Run, noise: MetaParams, key_start: Key, key_unroll: Key):
            run = self._restart(run, self._start(meta_params, data), key_start, context)
            at = antithetic.as_pair(meta_params, noise)
            return self._truncation(at, run, data, key_unroll, context)

        return over_tasks(one_task, run, noise, *keys)

    def _truncation(
        self,
        at: MetaParams,
        run: runs.Run,
        data: Dataset,
        key: Key,
        context: Context,
        remat: Remat = "none",
    ) -> tuple[runs.Run, PairLoss]:
        """The run after the next truncation of the pair `at`, and the losses of that."""
        both = antithetic.doubled(run.state)
        states, loss = self._unroll(at, both, run, data, key, context, remat)
        after = runs.advance(run, antithetic.positive(states), self.truncation, loss.usable)
        return after, loss
