"""Evolution strategies on whole runs: no truncation bias, one estimate per run.

Antithetic (Metz et al. 2019, https://arxiv.org/abs/1810.10180, section 3). The objective is the
mean loss of the run, or its outer loss at the end (VeLO, https://arxiv.org/abs/2211.09760).
"""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp

from metaopt.estimators import antithetic
from metaopt.estimators.base import Context, Estimate, GradientEstimator
from metaopt.horizons import Fixed, Horizon
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class FullES(GradientEstimator):
    """Antithetic ES over `num_tasks` pairs of whole runs. Has no state: runs end with the call.

    All runs of a call have one length, drawn anew at each call.
    """

    horizon: Horizon = Fixed(200)
    stddev: float = 0.01
    normalization: Normalization = "none"
    objective: Literal["mean", "final"] = "mean"

    @property
    def inner_steps(self) -> int:
        return 2 * self.num_tasks * self.horizon.bounds()[1]

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> tuple[()]:
        del meta_params, data, key, context
        return ()

    def estimate(
        self,
        meta_params: MetaParams,
        state: tuple[()],
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, tuple[()]]:
        key_length, key_tasks = jax.random.split(key)
        length = self.horizon.length(key_length, jnp.asarray(context.outer_step), 1)

        def one_task(key: Key) -> tuple[MetaParams, antithetic.PairLoss]:
            key_noise, key_run = jax.random.split(key)
            noise = antithetic.normal_like(key_noise, meta_params, self.stddev)
            run = lambda at: self._run(at, data, key_run, length)
            losses = jax.vmap(run)(antithetic.as_pair(meta_params, noise))
            whole = jnp.ones((1,), bool)
            return noise, antithetic.pair_loss(
                losses[:, None], whole, self.normalization, context.loss_scale
            )

        noise, losses = jax.vmap(one_task)(jax.random.split(key_tasks, self.num_tasks))
        return antithetic.estimate(noise, losses, self.stddev), state

    def _run(self, at: MetaParams, data: Dataset, key: Key, length: jax.Array) -> jax.Array:
        key_init, key_steps, key_final = jax.random.split(key, 3)

        def step(index: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
            state, total = carry
            state, loss = self.problem.step(at, state, data, jax.random.fold_in(key_steps, index))
            return state, total + loss

        start = (self.problem.init(at, data, key_init), jnp.zeros((), jnp.float32))
        end, total = jax.lax.fori_loop(0, length, step, start)
        if self.objective == "final":
            return self.problem.outer_loss(at, end, data, key_final)
        return total / length.astype(jnp.float32)
