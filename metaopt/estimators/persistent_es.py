"""Persistent evolution strategies (Vicol et al. 2021, https://arxiv.org/abs/2112.13835).

The truncations k = 1, 2, ... of a run perturb the meta-parameters by +e_k and -e_k, drawn anew with
standard deviation s, and each sign carries its own inner state on. With L_k(+) and L_k(-) the mean
losses of truncation k,

    g_k = (e_1 + ... + e_k) * (L_k(+) - L_k(-)) / (2 s^2),

summed over the truncations of a run, is an unbiased estimate of the gradient of the smoothed loss
of the whole run, however short the truncations (equation 10). In the code: e_k is `noise`,
e_1 + ... + e_k `total_noise`, s `stddev`.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaopt.estimators import antithetic, runs
from metaopt.estimators.base import Context, Estimate, GradientEstimator
from metaopt.horizons import Fixed, Horizon
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization
from taskset.base import Dataset, Key


class PersistentPair(NamedTuple):
    """An antithetic pair that goes on over truncations."""

    states: Any  # inner states of both signs, leaves [2, ...]
    total_noise: MetaParams  # summed since the run began


@dataclasses.dataclass(frozen=True)
class PersistentES(GradientEstimator):
    """Antithetic PES over `num_tasks` pairs, `truncation` inner steps at a time.

    Its state is a `runs.Run` of `PersistentPair`, leaves [num_tasks, ...].
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
        no_noise = jax.tree.map(jnp.zeros_like, meta_params)
        start = self._start_at(antithetic.as_pair(meta_params, no_noise), data)
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
        def one_task(run: runs.Run, key: Key) -> tuple[runs.Run, antithetic.PairLoss]:
            key_start, key_noise, key_unroll = jax.random.split(key, 3)
            noise = antithetic.normal_like(key_noise, meta_params, self.stddev)
            at = antithetic.as_pair(meta_params, noise)
            run = runs.restart_ended(
                run, self._start_at(at, data), self.horizon, self.truncation, key_start, context
            )
            states, losses = antithetic.unroll_pair(
                self.problem, at, run.state.states, data, key_unroll, self.truncation
            )
            within = runs.within(run, self.truncation)
            loss = antithetic.pair_loss(losses, within, self.normalization, context.loss_scale)
            pair = PersistentPair(states, jax.tree.map(jnp.add, run.state.total_noise, noise))
            return runs.advance(run, pair, self.truncation, loss.usable), loss

        state, losses = jax.vmap(one_task)(state, jax.random.split(key, self.num_tasks))
        return antithetic.estimate(state.state.total_noise, losses, self.stddev), state

    def _start_at(self, pair: MetaParams, data: Dataset) -> runs.Start:
        def start(key: Key) -> PersistentPair:
            states = jax.vmap(lambda at: self.problem.init(at, data, key))(pair)
            return PersistentPair(states, jax.tree.map(lambda x: jnp.zeros_like(x[0]), pair))

        return start
