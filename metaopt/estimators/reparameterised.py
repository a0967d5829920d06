"""Backpropagation at perturbed meta-parameters: the gradient of the smoothed loss, by its density.

For meta-parameters p, and e normal with standard deviation `stddev`, the smoothed loss of a
truncation is E L(p + e), and its gradient E grad L(p + e) (Metz et al. 2019,
https://arxiv.org/abs/1810.10180, section 3). Each run takes the mean over +e and -e, which start
from one common state; it goes on from that of +e, as with `TruncatedES`, which estimates the same.
"""

import abc
import dataclasses

from metaopt.estimators import antithetic, runs
from metaopt.estimators.antithetic import PairLoss
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context, Estimate, is_finite, mean_of_runs
from metaopt.estimators.common_start import CommonStartEstimator
from metaopt.estimators.rematerialisation import Remat
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import check_differentiable
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class ReparameterisedEstimator(CommonStartEstimator, abc.ABC):
    """What differentiates antithetic pairs."""

    remat: Remat = "step"

    def __post_init__(self) -> None:
        check_differentiable(self.normalization)

    def _differentiate(
        self, at: MetaParams, run: runs.Run, data: Dataset, key: Key, context: Context
    ) -> tuple[MetaParams, runs.Run, PairLoss]:
        """The mean gradient of the pair `at` over a truncation, the run after it, its losses."""

        def objective(at: MetaParams):
            after, loss = self._truncation(at, run, data, key, context, self.remat)
            return loss.objective, (after, loss)

        gradient, (after, loss) = antithetic.gradient_of_pair(objective, at)
        return gradient, after, loss


@dataclasses.dataclass(frozen=True)
class Reparameterised(ReparameterisedEstimator):
    """The mean gradient over `num_tasks` pairs; one that overflows counts as a run not finite."""

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        def one_task(run: runs.Run, noise: MetaParams, key_start: Key, key_unroll: Key):
            run = self._restart(run, self._start(meta_params, data), key_start, context)
            at = antithetic.as_pair(meta_params, noise)
            gradient, run, loss = self._differentiate(at, run, data, key_unroll, context)
            return run, gradient, loss.mean, loss.usable & is_finite(gradient)

        keys_start, keys_noise, keys_unroll = antithetic.keys_of_tasks(key, self.num_tasks)
        noise = self._draw(keys_noise, meta_params)
        tasks = (state, noise, keys_start, keys_unroll)
        state, *results = over_tasks(one_task, *tasks, differentiates=True)
        return mean_of_runs(*results), state
