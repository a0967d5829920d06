"""Evolution strategies on whole runs: no truncation bias, one estimate per run.

Antithetic (Metz et al. 2019, https://arxiv.org/abs/1810.10180, section 3). The objective is the
mean loss of the run, its outer loss at the end (VeLO, https://arxiv.org/abs/2211.09760), or its
least loss.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from metaopt.estimators import antithetic
from metaopt.estimators.antithetic import Perturbations
from metaopt.estimators.at_once import over_tasks, shapes_of
from metaopt.estimators.base import Context, Estimate, Objective
from metaopt.estimators.whole_runs import WholeRunEstimator
from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class FullES(WholeRunEstimator):
    """Antithetic ES over `num_tasks` pairs of whole runs.

    All runs of a call have one length, drawn anew at each call.
    """

    stddev: float = 0.01
    normalization: Normalization = "none"
    objective: Objective = "mean"
    perturbations: Perturbations = "independent"

    @property
    def inner_steps(self) -> int:
        return 2 * self.num_tasks * self.horizon.bounds()[1]

    def estimate(
        self,
        meta_params: MetaParams,
        state: tuple[()],
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, tuple[()]]:
        problem = self.problem.at(context.outer_step)
        key_length, key_tasks = jax.random.split(key)
        length = self.horizon.length(key_length, jnp.asarray(context.outer_step), 1)

        def one_task(noise: MetaParams, key_run: Key) -> antithetic.PairLoss:
            run = lambda at: self._run(problem, at, data, key_run, length)
            losses = jax.vmap(run)(antithetic.as_pair(meta_params, noise))
            whole = jnp.ones((1,), bool)
            return antithetic.pair_loss(
                losses[:, None], whole, self.normalization, context.loss_scale
            )

        _, keys_run = antithetic.keys_of_tasks(key_tasks, self.num_tasks, 2)
        noise = self.perturbations_of(key, meta_params)
        states = shapes_of(lambda key: problem.init(meta_params, data, key), keys_run)
        losses = over_tasks(one_task, noise, keys_run, like=(noise, states, states))
        return antithetic.estimate(noise, losses, self.stddev, self.normalization), state

    def perturbations_of(self, key: Key, meta_params: MetaParams) -> MetaParams:
        _, key_tasks = jax.random.split(key)
        keys_noise, _ = antithetic.keys_of_tasks(key_tasks, self.num_tasks, 2)
        return antithetic.draw(keys_noise, meta_params, self.stddev, self.perturbations)

    def _run(
        self, problem: InnerProblem, at: MetaParams, data: Dataset, key: Key, length: jax.Array
    ) -> jax.Array:
        key_init, key_steps, key_final = jax.random.split(key, 3)
        join = jnp.minimum if self.objective == "minimum" else jnp.add

        def step(index: jax.Array, carry: tuple[Any, jax.Array]) -> tuple[Any, jax.Array]:
            state, joined = carry
            state, loss = problem.step(at, state, data, jax.random.fold_in(key_steps, index))
            return state, join(joined, loss)

        nothing = jnp.asarray(jnp.inf if self.objective == "minimum" else 0.0, jnp.float32)
        start = (problem.init(at, data, key_init), nothing)
        end, joined = jax.lax.fori_loop(0, length, step, start)
        if self.objective == "final":
            return problem.outer_loss(at, end, data, key_final)
        return joined if self.objective == "minimum" else joined / length.astype(jnp.float32)
