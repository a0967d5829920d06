"""Backpropagation through whole runs of any dynamics that are computed backwards from a tape.

Maclaurin, Duvenaud and Adams 2015 (https://arxiv.org/abs/1502.03492) keep what their momentum
shifts out. Where dynamics lose more than that, or what they lose is not known, a model of the state
before each step takes its place, and what it is wrong by goes on a tape, in as many bits as that is
worth.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp

from metaopt.estimators.base import Context, is_finite
from metaopt.estimators.whole_runs import DifferentiatedRuns, RunGradient, RunKeys
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.inner_problem import FamilyTraining, InnerState, OptimizerTraining
from metaopt.learned_optimizers.base import MetaParams
from metaopt.real_leaves import real_leaves, with_real_leaves
from metaopt.reversible import entropy_coder
from metaopt.reversible.taped_training import Cotangents, TapedTraining, moving
from taskset.base import Dataset
from taskset.errors import InputError

MAX_FRACTION = 28  # with more there would not be room for numbers up to 4


@dataclasses.dataclass(frozen=True)
class TapedBackprop(DifferentiatedRuns):
    """Differentiates the outer loss of the end of `num_tasks` whole runs.

    The problem is a `HyperparameterTraining` or an `OptimizerTraining`, of any dynamics; the run is
    in fixed point, of 32 bits. Its numbers have to stay within 2^(30 - fraction), and 2^-fraction
    is the unit that they are rounded to, averages of squared gradients too.

    `metrics` has sums over runs: "tape_bits", what was written for each number of the state and
    step; "inexact_runs", which did not come back to their start to the bit; "overflowed_runs",
    where numbers became too large or a tape too long. Neither of those have weight.

    Raises `InputError` for other problems, and for a block that does not divide the horizon; and
    `estimate` without the range coder, which `pip install 'metaopt[tape]'` adds.
    """

    predictions: int = 8  # steps computed to foretell one; more where steps are large
    room: float = 8.0  # bits on the tape for each number of the state and step
    block: int = 1  # steps coded together: fewer calls of the coder, which runs on the host
    fraction: int = 24  # bits behind the point

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.problem, HyperparameterTraining | OptimizerTraining):
            raise InputError(
                f"{type(self.problem).__name__} has a state that tapes do not know; use a "
                "HyperparameterTraining or an OptimizerTraining, or FullBackprop"
            )
        if self.predictions < 0:
            raise InputError(f"predictions is {self.predictions}; it must be at least 0")
        if not (self.room > 0 and math.isfinite(self.room)):
            raise InputError(f"room is {self.room}; it must be positive, and 40 is always enough")
        if not 1 <= self.fraction <= MAX_FRACTION:
            raise InputError(f"fraction is {self.fraction}; it must be from 1 to {MAX_FRACTION}")
        if self.block < 1 or self._num_steps % self.block:
            raise InputError(
                f"block is {self.block}, and runs have {self._num_steps} steps; use a divisor"
            )

    def differentiate(
        self, meta_params: MetaParams, data: Dataset, keys: RunKeys, context: Context
    ) -> RunGradient:
        entropy_coder.check_installed()
        problem = self.problem.at(context.outer_step)
        assert isinstance(problem, FamilyTraining)

        def begin(meta_params: MetaParams) -> tuple[list[jax.Array], InnerState]:
            state = jax.tree.map(jnp.asarray, problem.init(meta_params, data, keys.init))
            return real_leaves(moving(state)), state

        _, pull, begun = jax.vjp(begin, meta_params, has_aux=True)
        training = TapedTraining(
            problem=problem,
            meta_params=meta_params,
            data=data,
            like=begun,
            keys=keys.steps.reshape(-1, self.block),
            fraction=self.fraction,
            predictions=self.predictions,
            room=self.room,
        )
        start = training.encode(begun)
        end, tape, fits = training.forwards(start)
        state = training.decode(end)

        def final_loss(meta_params: MetaParams, reals: list[jax.Array]):
            at = with_real_leaves(moving(state), reals)._replace(task=state.task)
            return self._final_loss(meta_params, at, data, keys, context)

        (direct, of_end), loss = jax.grad(final_loss, argnums=(0, 1), has_aux=True)(
            meta_params, real_leaves(moving(state))
        )
        reached, of_start = training.backwards(end, tape, Cotangents(direct, of_end))
        gradient = jax.tree.map(jnp.add, of_start.meta_params, *pull(of_start.reals))
        exact = jnp.all(reached == start)
        usable = jnp.isfinite(loss) & is_finite(gradient) & exact & fits
        bits = tape.used.astype(jnp.float32) * (32 / training.num_numbers)
        metrics = {"tape_bits": bits, "inexact_runs": ~exact, "overflowed_runs": ~fits}
        metrics = {name: metric.astype(jnp.float32) for name, metric in metrics.items()}
        return RunGradient(gradient, loss, usable, metrics)
