"""Backpropagation through whole runs that are computed backwards instead of being kept.

Maclaurin, Duvenaud and Adams 2015 (https://arxiv.org/abs/1502.03492): a run in fixed point loses
nothing but what its decays shift out, log2(1 / decay) bits a step of each parameter. With those,
every state follows from the one after it, and the exact gradient takes the memory of a few states.
"""

import dataclasses
from typing import cast

import jax
import jax.numpy as jnp

from metaopt.dynamics import AveragesState
from metaopt.estimators.base import Context, is_finite
from metaopt.estimators.whole_runs import DifferentiatedRuns, RunGradient, RunKeys
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.inner_problem import InnerState
from metaopt.learned_optimizers.base import MetaParams
from metaopt.reversible.fixed_point import FORMATS, Precision
from metaopt.reversible.training import Reals, ReversibleTraining, reversible_dynamics
from taskset.base import Dataset, Key, Params, Task
from taskset.errors import InputError

MAX_DRIFT = 1e-3  # of a parameter within a segment


@dataclasses.dataclass(frozen=True)
class ReversibleBackprop(DifferentiatedRuns):
    """Differentiates the outer loss of the end of `num_tasks` whole runs.

    The problem is a `HyperparameterTraining` whose dynamics are `Momentum` or `Adam`, and whose
    inner loss is a function of its arguments. `estimate` raises `InputError` for others, and for
    decays that cannot be undone.

    Some runs have no weight, and are counted in `metrics`: "inexact_runs" did not come back to
    their start to the bit; "overflowed_runs" had numbers too large for the precision, or decays
    that `least_decay` makes no room for.

    With a `segment`, which divides the horizon, the start of each is kept, a few states every so
    many steps, and takes the place of what going back leads to. So a fault stays within its
    segment, and the run has weight as long as no parameter was off by more than `MAX_DRIFT`;
    "inexact_segments" counts faults.
    """

    precision: Precision = "int64"  # bits behind the point: see `metaopt.reversible.fixed_point`
    least_decay: float = 0.5  # room is made for it, where decays are tuned: 1 bit a step at 0.5
    segment: int = 0  # inner steps between checkpoints of the run; 0: none

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.problem, HyperparameterTraining):
            raise InputError(
                f"{type(self.problem).__name__} has steps that cannot be undone; "
                "use a HyperparameterTraining, or FullBackprop"
            )
        if not 0 < self.least_decay < 1:
            raise InputError(f"least_decay is {self.least_decay}; it must be between 0 and 1")
        if self.segment < 0 or (self.segment and self._num_steps % self.segment):
            raise InputError(
                f"segment is {self.segment}, and runs have {self._num_steps} steps; use a divisor, "
                "or 0 for no checkpoints"
            )

    def differentiate(
        self, meta_params: MetaParams, data: Dataset, keys: RunKeys, context: Context
    ) -> RunGradient:
        problem = cast(HyperparameterTraining, self.problem)
        reversible_dynamics(problem, meta_params)  # raises where there are none

        def begin(meta_params: MetaParams, key: Key) -> tuple[Reals, Task]:
            state = problem.init(meta_params, data, key)
            return Reals(state.params, state.opt_state.averages), state.task

        begun, task = begin(meta_params, keys.init)
        training = self._training(problem, meta_params, data, task, begun.params, keys)
        with jax.enable_x64(training.x64 or self.precision == "int64"):
            end, back = training.forwards(training.encode(begun))
            reals = training.decode(end)
        (_, (loss, finite)), of_end = jax.value_and_grad(
            lambda meta_params, end: self._final(meta_params, end, training, keys, context),
            argnums=(0, 1),
            has_aux=True,
        )(meta_params, reals)
        with jax.enable_x64(training.x64 or self.precision == "int64"):
            reached, (direct, of_begun), faults = training.backwards(end, back, of_end)
        # Computed once more, after all else: keeping it would take the memory of another state.
        again, key, reached = jax.lax.optimization_barrier((meta_params, keys.init, reached))
        begun, pull, _ = jax.vjp(lambda at: begin(at, key), again, has_aux=True)
        with jax.enable_x64(training.x64 or self.precision == "int64"):
            exact = training.is_start(reached, begun)
        kept_close = exact & (faults.drift <= MAX_DRIFT)

        gradient = jax.tree.map(jnp.add, direct, *pull(of_begun))
        usable = finite & is_finite(gradient) & kept_close & end.fits
        counts = {"inexact_runs": ~kept_close, "overflowed_runs": ~end.fits}
        if self.segment:
            counts["inexact_segments"] = faults.segments
        metrics = {name: count.astype(jnp.float32) for name, count in counts.items()}
        return RunGradient(gradient, loss, usable, metrics)

    def _training(
        self,
        problem: HyperparameterTraining,
        meta_params: MetaParams,
        data: Dataset,
        task: Task,
        params: Params,
        keys: RunKeys,
    ) -> ReversibleTraining:
        return ReversibleTraining(
            problem=problem,
            meta_params=meta_params,
            data=data,
            task=task,
            like=jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params),
            keys=keys.steps,
            form=FORMATS[self.precision],
            least_decay=self.least_decay,
            x64=bool(jax.config.read("jax_enable_x64")),
            segment=self.segment,
        )

    def _final(
        self,
        meta_params: MetaParams,
        end: Reals,
        training: ReversibleTraining,
        keys: RunKeys,
        context: Context,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """The objective, normalised; as it is; and whether that is finite."""
        averages = AveragesState(jnp.asarray(self._num_steps, jnp.int32), end.averages)
        state = InnerState(training.task, end.params, averages)
        normalized, loss = self._final_loss(meta_params, state, training.data, keys, context)
        return normalized, (loss, jnp.isfinite(loss))
