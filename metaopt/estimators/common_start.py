"""What antithetic estimators have in common whose signs start a truncation from one state."""

import abc
import dataclasses

from metaopt.estimators import antithetic, runs
from metaopt.estimators.antithetic import PairLoss, Perturbations
from metaopt.estimators.base import Context
from metaopt.estimators.truncated import TruncatedEstimator
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class CommonStartEstimator(TruncatedEstimator, abc.ABC):
    """Antithetic pairs, `num_tasks` of them, `truncation` inner steps at a time.

    A run goes on from the state of the positive sign. The state of the estimator is a `runs.Run` of
    inner states, leaves [num_tasks, ...].
    """

    stddev: float = 0.01
    normalization: Normalization = "none"
    perturbations: Perturbations = "independent"

    @property
    def inner_steps(self) -> int:
        return 2 * self.num_tasks * self.truncation

    def _truncation(
        self,
        at: MetaParams,
        run: runs.Run,
        data: Dataset,
        key: Key,
        context: Context,
        remat: runs.Remat = "none",
    ) -> tuple[runs.Run, PairLoss]:
        """The run after the next truncation of the pair `at`, and the losses of that."""
        states, losses = antithetic.unroll_pair(
            self.problem, at, antithetic.doubled(run.state), data, key, self.truncation, remat
        )
        within = runs.within(run, self.truncation)
        loss = antithetic.pair_loss(losses, within, self.normalization, context.loss_scale)
        after = runs.advance(run, antithetic.positive(states), self.truncation, loss.usable)
        return after, loss
