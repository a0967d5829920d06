"""Backpropagation through truncations of an unroll.

Exact within a truncation, second derivatives of the inner loss included, and biased across
truncations: the state that a truncation starts from counts as a constant. A truncation as long as
the horizon gives the full gradient. Memory is what `remat` makes of it.
"""

import dataclasses

import jax
import jax.numpy as jnp

from metaopt.estimators import runs
from metaopt.estimators.base import Context, Estimate, GradientEstimator, mean_over
from metaopt.horizons import Fixed, Horizon
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization, normalize
from taskset.base import Dataset, Key
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class TruncatedBackprop(GradientEstimator):
    """Differentiates the mean loss of `truncation` inner steps, for `num_tasks` runs.

    Its state is a `runs.Run` of inner states, leaves [num_tasks, ...].
    """

    truncation: int = 20
    horizon: Horizon = Fixed(200)
    normalization: Normalization = "none"
    remat: runs.Remat = "step"

    def __post_init__(self) -> None:
        if self.normalization == "sign":
            raise InputError(
                "normalization 'sign' has no gradient to backpropagate; "
                "use 'none', 'baseline' or 'log', or an evolution strategy"
            )

    @property
    def inner_steps(self) -> int:
        return self.num_tasks * self.truncation

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
        def objective(meta_params: MetaParams, run: runs.Run, key: Key):
            key_start, key_unroll = jax.random.split(key)
            start = lambda key: self.problem.init(meta_params, data, key)
            run = runs.restart_ended(run, start, self.horizon, self.truncation, key_start, context)
            state, losses = runs.unroll(
                self.problem, meta_params, run.state, data, key_unroll, self.truncation, self.remat
            )
            within = runs.within(run, self.truncation)
            finite = runs.all_finite(losses, within)
            run = runs.advance(run, state, self.truncation, finite)
            mean_loss = runs.mean_within(losses, within)
            normalized = normalize(mean_loss, self.normalization, context.loss_scale)
            return normalized, (run, mean_loss, finite)

        def one_task(run: runs.Run, key: Key):
            value_and_grad = jax.value_and_grad(objective, has_aux=True)
            (_, (run, loss, finite)), gradient = value_and_grad(meta_params, run, key)
            # A gradient can overflow where the losses do not: the run is sound and goes on.
            sound = [jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(gradient)]
            return run, gradient, loss, finite & jnp.all(jnp.stack(sound))

        state, gradients, losses, usable = jax.vmap(one_task)(
            state, jax.random.split(key, self.num_tasks)
        )
        weight = jnp.sum(usable).astype(jnp.float32)
        mean = Estimate(
            gradient=jax.tree.map(lambda g: mean_over(usable, g), gradients),
            meta_loss=mean_over(usable, losses),
            weight=weight,
            metrics={"nonfinite_runs": self.num_tasks - weight},
        )
        return mean, state
