"""Persistent evolution strategies whose last term is an analytic gradient.

PES (Vicol et al. 2021, https://arxiv.org/abs/2112.13835) weighs the losses of truncation k by
e_1 + ... + e_k, in the notation of `persistent_es`. The term with e_k estimates what the
meta-parameters do within the truncation, which backpropagation through it gives with less noise:

    g_k = (e_1 + ... + e_{k-1}) * (L_k(+) - L_k(-)) / (2 s^2) + (grad L_k(+) + grad L_k(-)) / 2.

As unbiased as PES; better where the loss is smooth over a truncation, for the cost of a backward
pass. A gradient that overflows counts as a run that is not finite.
"""

import dataclasses

import jax
import jax.numpy as jnp

from metaopt.estimators import antithetic, runs
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context, Estimate, is_finite, mean_of_runs
from metaopt.estimators.persistent_es import PersistentEstimator
from metaopt.estimators.rematerialisation import Remat
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import check_differentiable
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class PersistentESWithBackprop(PersistentEstimator):
    """PES for the truncations before the present one, backpropagation for that one."""

    remat: Remat = "step"

    def __post_init__(self) -> None:
        check_differentiable(self.normalization)

    @property
    def noise_period(self) -> int:
        return self.truncation

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        def one_task(run: runs.Run, noise: MetaParams, key_start: Key, key_unroll: Key):
            def objective(at: MetaParams):
                start = self._start_at(at, data)
                begun = self._perturbed(run, noise, start, key_start, context)
                after = self._truncation(at, begun, data, key_unroll, context, self.remat)
                return after[1].objective, after

            at = antithetic.as_pair(meta_params, noise)
            gradient, (after, loss) = antithetic.gradient_of_pair(objective, at)
            return after, gradient, loss._replace(usable=loss.usable & is_finite(gradient))

        keys_start, keys_noise, keys_unroll = antithetic.keys_of_tasks(key, self.num_tasks)
        noise = self._draw(keys_noise, meta_params)
        tasks = (state, noise, keys_start, keys_unroll)
        state, within, losses = over_tasks(one_task, *tasks, differentiates=True)
        earlier = jax.tree.map(jnp.subtract, state.state.total_noise, noise)
        before = antithetic.gradients(earlier, losses, self.stddev)
        gradients = jax.tree.map(jnp.add, before, within)
        return mean_of_runs(gradients, losses.mean, losses.usable), state
