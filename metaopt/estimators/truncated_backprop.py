"""Backpropagation through truncations of an unroll.

Exact within a truncation, second derivatives of the inner loss included, and biased across
truncations: the state that a truncation starts from counts as a constant. A truncation as long as
the horizon gives the full gradient. Memory is what `remat` makes of it.
"""

import dataclasses

import jax

from metaopt.estimators import runs
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context, Estimate, is_finite, mean_of_runs
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.rematerialisation import Remat
from metaopt.estimators.truncated import TruncatedEstimator
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization, check_differentiable, normalize
from taskset.base import Dataset, Key


@dataclasses.dataclass(frozen=True)
class TruncatedBackprop(TruncatedEstimator):
    """Differentiates the mean loss of `truncation` inner steps, for `num_tasks` runs.

    Its state is a `runs.Run` of inner states, leaves [num_tasks, ...].
    """

    normalization: Normalization = "none"
    remat: Remat = "step"

    def __post_init__(self) -> None:
        check_differentiable(self.normalization)

    @property
    def inner_steps(self) -> int:
        return self.num_tasks * self.truncation

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
            run = self._restart(run, self._start(meta_params, data), key_start, context)
            after, losses = runs.unroll(
                self.problem.at(context.outer_step),
                meta_params,
                run.state,
                data,
                key_unroll,
                self.truncation,
                self.remat,
            )
            within = runs.within(run, self.truncation)
            finite = runs.all_finite(losses, within)
            run = runs.advance(run, after, self.truncation, finite)
            mean_loss = runs.mean_within(losses, within)
            normalized = normalize(mean_loss, self.normalization, context.loss_scale)
            return normalized, (run, mean_loss, finite)

        def one_task(run: runs.Run, key: Key):
            value_and_grad = jax.value_and_grad(objective, has_aux=True)
            (_, (run, loss, finite)), gradient = value_and_grad(meta_params, run, key)
            # A gradient can overflow where the losses do not: the run is sound and goes on.
            return run, gradient, loss, finite & is_finite(gradient)

        state, gradients, losses, usable = over_tasks(
            one_task, state, split_over_tasks(key, self.num_tasks), differentiates=True
        )
        return mean_of_runs(gradients, losses, usable), state
