"""Forward mode: the exact gradient of runs of any length, for few meta-parameters.

Offline, a run is differentiated from its start to its end. Online, it goes on while the
meta-parameters move, and what it owes to their earlier values is kept as it is: real-time
hyper-parameter optimization (Franceschi et al. 2017, https://arxiv.org/abs/1703.01785).

`decay` forgets: every step multiplies the derivatives that came before it. At 0 only the last step
counts, which is hyper-gradient descent (Baydin et al. 2018, https://arxiv.org/abs/1703.04782);
between 0 and 1 it is MARTHE (Donini et al. 2020, https://arxiv.org/abs/1910.08525).
"""

import dataclasses

import jax
import jax.numpy as jnp

from metaopt.estimators import runs, sensitivities
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context, Estimate, is_finite, mean_of_runs
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.sensitivities import Sensitive
from metaopt.estimators.truncated import TruncatedEstimator
from metaopt.estimators.whole_runs import DifferentiatedRuns, RunGradient, RunKeys
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization, check_differentiable, normalize
from taskset.base import Dataset, Key
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class ForwardMode(DifferentiatedRuns):
    """Differentiates the outer loss of the end of `num_tasks` whole runs.

    `estimate` raises `InputError` where the derivatives exceed `memory_budget`. With several
    `workers`, each carries the derivatives of its share of the meta-parameters through the same
    runs, and the learner adds the shares up.
    """

    decay: float = 1.0
    chunk: int = 0  # meta-parameters whose derivatives are advanced together; 0: all
    memory_budget: float = 4.0  # GB, for the derivatives
    workers: int = 1  # that share the meta-parameters of each estimate between them

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self)
        if self.workers < 1:
            raise InputError(f"estimator.workers is {self.workers}; it must be at least 1")

    @property
    def shares(self) -> int:
        return self.workers

    def differentiate(
        self, meta_params: MetaParams, data: Dataset, keys: RunKeys, context: Context
    ) -> RunGradient:
        sensitivities.check_memory(
            self.problem,
            meta_params,
            data,
            keys.init,
            self.num_tasks,
            self.memory_budget,
            self.shares,
        )
        along = sensitivities.directions(meta_params, self.shares, context.share)
        begun = sensitivities.start(self.problem, meta_params, data, keys.init, self.chunk, along)
        end = _advance(self, meta_params, begun, data, keys.steps, context, along)

        def final_loss(meta_params: MetaParams, state):
            return self._final_loss(meta_params, state, data, keys, context)

        gradient, loss = sensitivities.gradient(final_loss, meta_params, end, along)
        return RunGradient(gradient, loss, jnp.isfinite(loss) & is_finite(gradient), {})


@dataclasses.dataclass(frozen=True)
class OnlineForwardMode(TruncatedEstimator):
    """Differentiates the outer loss at the end of every truncation, of `num_tasks` runs.

    Its state is a `runs.Run` of `Sensitive` inner states, leaves [num_tasks, ...]. `init` raises
    `InputError` where the derivatives exceed `memory_budget`.
    """

    normalization: Normalization = "none"
    decay: float = 1.0
    chunk: int = 0  # meta-parameters whose derivatives are advanced together; 0: all
    memory_budget: float = 4.0  # GB, for the derivatives

    def __post_init__(self) -> None:
        check_differentiable(self.normalization)
        _check(self)

    @property
    def inner_steps(self) -> int:
        return self.num_tasks * self.truncation

    def _start(self, meta_params: MetaParams, data: Dataset) -> runs.Start:
        sensitivities.check_memory(
            self.problem,
            meta_params,
            data,
            jax.random.key(0),
            self.num_tasks,
            self.memory_budget,
        )
        along = sensitivities.directions(meta_params)
        start = lambda key: sensitivities.start(
            self.problem, meta_params, data, key, self.chunk, along
        )
        return start

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        along = sensitivities.directions(meta_params)

        def one_task(run: runs.Run, key: Key):
            key_start, key_steps, key_loss = jax.random.split(key, 3)
            run = self._restart(run, self._start(meta_params, data), key_start, context)
            keys = jax.random.split(key_steps, self.truncation)
            after = _advance(self, meta_params, run.state, data, keys, context, along)

            def outer_loss(meta_params: MetaParams, inner_state):
                loss = self.problem.outer_loss(meta_params, inner_state, data, key_loss)
                return normalize(loss, self.normalization, context.loss_scale), loss

            gradient, loss = sensitivities.gradient(outer_loss, meta_params, after, along)
            # Derivatives that overflowed would stay so: such a run starts anew.
            usable = jnp.isfinite(loss) & is_finite(gradient)
            return runs.advance(run, after, self.truncation, usable), gradient, loss, usable

        state, gradients, losses, usable = over_tasks(
            one_task, state, split_over_tasks(key, self.num_tasks)
        )
        return mean_of_runs(gradients, losses, usable), state


def _advance(
    estimator: ForwardMode | OnlineForwardMode,
    meta_params: MetaParams,
    run: Sensitive,
    data: Dataset,
    keys: Key,
    context: Context,
    along: MetaParams,
) -> Sensitive:
    """`run` after a step for each of `keys`."""
    problem = estimator.problem.at(context.outer_step)

    def step(run: Sensitive, key: Key) -> tuple[Sensitive, None]:
        decay, chunk = estimator.decay, estimator.chunk
        after = sensitivities.advance(problem, meta_params, run, data, key, decay, chunk, along)
        return after, None

    return jax.lax.scan(step, run, keys)[0]


def _check(estimator: ForwardMode | OnlineForwardMode) -> None:
    if not 0 <= estimator.decay <= 1:
        raise InputError(f"decay is {estimator.decay}; it must be from 0 to 1")
    if estimator.chunk < 0:
        raise InputError(f"chunk is {estimator.chunk}; it must be at least 1, or 0 for all at once")
