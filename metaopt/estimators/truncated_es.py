"""Truncated evolution strategies: both signs start each truncation from one common state.

The estimate (Metz et al. 2019, https://arxiv.org/abs/1810.10180, section 3) is that of antithetic
ES on the truncation alone, so it is biased towards what pays within one truncation. The run goes on
from the state of the positive sign.
"""

import dataclasses

import jax

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
        def one_task(run: runs.Run, noise: MetaParams, key_start: Key, key_unroll: Key):
            run = self._restart(run, self._start(meta_params, data), key_start, context)
            at = antithetic.as_pair(meta_params, noise)
            return self._truncation(at, run, data, key_unroll, context)

        keys_start, keys_noise, keys_unroll = antithetic.keys_of_tasks(key, self.num_tasks)
        noise = self._draw(keys_noise, meta_params)
        state, losses = jax.vmap(one_task)(state, noise, keys_start, keys_unroll)
        return antithetic.estimate(noise, losses, self.stddev, self.normalization), state
