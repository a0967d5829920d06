"""Backpropagation through whole runs: the exact gradient, where it does not explode.

Through the last steps only, it is the truncated reverse mode of Shaban et al. 2019
(https://arxiv.org/abs/1810.10667): biased, and cheap where runs forget their beginning.
"""

import dataclasses

import jax
import jax.numpy as jnp

from metaopt.estimators import runs
from metaopt.estimators.base import Context, Objective, is_finite
from metaopt.estimators.rematerialisation import Remat
from metaopt.estimators.whole_runs import DifferentiatedRuns, RunGradient, RunKeys
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import normalize
from taskset.base import Dataset
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class FullBackprop(DifferentiatedRuns):
    """Differentiates `objective` of `num_tasks` whole runs.

    With `last_steps`, which takes the objective "final", the state before the last so many steps
    counts as a constant; 0 differentiates all of them.
    """

    objective: Objective = "mean"
    remat: Remat = "sqrt"
    last_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.last_steps <= self._num_steps:
            raise InputError(
                f"last_steps is {self.last_steps}; it must be from 1 to the {self._num_steps} of "
                "the horizon, or 0 for all of them"
            )
        if self.last_steps and self.objective != "final":
            raise InputError(
                f"last_steps is {self.last_steps} and the objective {self.objective!r}; "
                "use the objective 'final', or TruncatedBackprop"
            )

    def differentiate(
        self, meta_params: MetaParams, data: Dataset, keys: RunKeys, context: Context
    ) -> RunGradient:
        of_run = self._final if self.objective == "final" else self._of_losses

        def objective(meta_params: MetaParams):
            return of_run(meta_params, data, keys, context)

        value_and_grad = jax.value_and_grad(objective, has_aux=True)
        (_, (loss, finite)), gradient = value_and_grad(meta_params)
        return RunGradient(gradient, loss, finite & is_finite(gradient), {})

    def _of_losses(self, at: MetaParams, data: Dataset, keys: RunKeys, context: Context):
        """The objective, normalised and as it is, and whether all losses are finite."""
        start = self.problem.init(at, data, keys.init)
        problem = self.problem.at(context.outer_step)
        _, losses = runs.unroll_steps(problem, at, start, data, keys.steps, self.remat)
        loss = jnp.min(losses) if self.objective == "minimum" else jnp.mean(losses)
        normalized = normalize(loss, self.normalization, context.loss_scale)
        return normalized, (loss, jnp.all(jnp.isfinite(losses)))

    def _final(self, at: MetaParams, data: Dataset, keys: RunKeys, context: Context):
        """The same of the outer loss of the end."""
        state = self.problem.init(at, data, keys.init)
        problem = self.problem.at(context.outer_step)
        constant = self._num_steps - self.last_steps if self.last_steps else 0
        if constant:
            state = runs.last_state(problem, at, state, data, keys.steps[:constant])
            state = jax.lax.stop_gradient(state)
        end = runs.last_state(problem, at, state, data, keys.steps[constant:], self.remat)
        normalized, loss = self._final_loss(at, end, data, keys, context)
        return normalized, (loss, jnp.isfinite(loss))
