"""Truncated evolution strategies: both signs start each truncation from one common state.

The estimate (Metz et al. 2019, https://arxiv.org/abs/1810.10180, section 3) is that of antithetic
ES on the truncation alone, so it is biased towards what pays within one truncation. The run goes on
from the state of the positive sign.
"""

import dataclasses

import jax

from metaopt.estimators import antithetic, runs
from metaopt.estimators.base import Context, Estimate, GradientEstimator
from metaopt.horizons import Fixed, Horizon
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class TruncatedES(GradientEstimator):
    """Antithetic ES over `num_tasks` pairs, `truncation` inner steps at a time.

    Its state is a `runs.Run` of inner states, leaves [num_tasks, ...].
    """

    truncation: int = 20
    horizon: Horizon = Fixed(200)
    stddev: float = 0.01
    normalization: Normalization = "none"

    @property
    def inner_steps(self) -> int:
        return 2 * self.num_tasks * self.truncation

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> runs.Run:
        start = lambda key: self.problem.init(meta_params, data, key)
        return runs.start_staggered(
            start, self.horizon, self.truncation, self.num_tasks, key, context
        )

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        start = lambda key: self.problem.init(meta_params, data, key)

        def one_task(run: runs.Run, key: Key):
            key_start, key_noise, key_unroll = jax.random.split(key, 3)
            noise = antithetic.normal_like(key_noise, meta_params, self.stddev)
            run = runs.restart_ended(run, start, self.horizon, self.truncation, key_start, context)
            states, losses = antithetic.unroll_pair(
                self.problem,
                antithetic.as_pair(meta_params, noise),
                antithetic.doubled(run.state),
                data,
                key_unroll,
                self.truncation,
            )
            within = runs.within(run, self.truncation)
            loss = antithetic.pair_loss(losses, within, self.normalization, context.loss_scale)
            positive = jax.tree.map(lambda x: x[0], states)
            return runs.advance(run, positive, self.truncation, loss.usable), noise, loss

        state, noise, losses = jax.vmap(one_task)(state, jax.random.split(key, self.num_tasks))
        return antithetic.estimate(noise, losses, self.stddev), state
