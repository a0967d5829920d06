"""Truncated evolution strategies: both signs start each truncation from one common state.

The estimate (Metz et al. 2019, https://arxiv.org/abs/1810.10180, section 3) is that of antithetic
ES on the truncation alone, so it is biased towards what pays within one truncation. The run goes on
from the state of the positive sign.
"""

import dataclasses

from metaopt.estimators import antithetic, runs
from metaopt.estimators.base import Context, Estimate
from metaopt.estimators.common_start import CommonStartEstimator
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class TruncatedES(CommonStartEstimator):
    """Antithetic ES on one truncation at a time."""

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        keys_start, _, keys_unroll = antithetic.keys_of_tasks(key, self.num_tasks)
        noise = self.perturbations_of(key, meta_params)
        keys = (keys_start, keys_unroll)
        state, losses = self._pairs(meta_params, noise, state, data, keys, context)
        return antithetic.estimate(noise, losses, self.stddev, self.normalization), state

    def perturbations_of(self, key: Key, meta_params: MetaParams) -> MetaParams:
        _, keys_noise, _ = antithetic.keys_of_tasks(key, self.num_tasks)
        return self._draw(keys_noise, meta_params)
