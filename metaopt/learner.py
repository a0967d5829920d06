"""The outer update, and the loop around it."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import optax

from metaopt.aggregate import Aggregate, Dropped, Weights, WorkerResult, aggregate
from metaopt.estimators.base import Estimate
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import LossScale
from metaopt.outer_optimizer import OuterOptimizer
from metaopt.trained_part import keep_part, which_are_part

MAX_EMPTY_ROUNDS = 100  # then something is broken, and waiting longer would only hide it


class OuterState(NamedTuple):
    """All that the learner needs to go on; with the workers' states, what a checkpoint holds."""

    step: int
    meta_params: MetaParams
    opt_state: Any
    loss_scales: Mapping[str, LossScale]  # by task name


@dataclasses.dataclass(frozen=True)
class Learner:
    """Moves the meta-parameters along estimates.

    Those that `train` does not name stay as they are, to the bit, and the optimizer sees no
    gradient of them. Evolution strategies perturb them like the others.
    """

    optimizer: OuterOptimizer = OuterOptimizer()
    num_steps: int = 1000  # outer steps of the whole run; learning-rate schedules end there
    accumulate: int = 1  # rounds of results that one outer step is made of
    train: tuple[str, ...] = ()  # names of meta-parameters, see `metaopt.trained_part`; empty: all

    def init(
        self, meta_params: MetaParams, loss_scales: Mapping[str, LossScale] = {}
    ) -> OuterState:
        """The state before the first outer step. Raises `InputError` for unknown names to train."""
        which_are_part(meta_params, self.train)
        opt_state = self.optimizer.build(self.num_steps).init(meta_params)
        return OuterState(0, meta_params, opt_state, loss_scales)

    def update(self, state: OuterState, estimate: Estimate) -> OuterState:
        """One outer step. Pure, so it is the same on one machine and on a thousand."""
        meta_params, opt_state = _apply(self, estimate, state.opt_state, state.meta_params)
        return state._replace(step=state.step + 1, meta_params=meta_params, opt_state=opt_state)


@jax.jit(static_argnums=0)
def _apply(learner: Learner, estimate: Estimate, opt_state: Any, meta_params: MetaParams):
    optimizer = learner.optimizer.build(learner.num_steps)
    trained = which_are_part(meta_params, learner.train)
    gradient = keep_part(estimate.gradient, trained)
    with jax.numpy_dtype_promotion("standard"):  # optax raises float to the power of int
        updates, opt_state = optimizer.update(
            gradient, opt_state, meta_params, value=estimate.meta_loss
        )
        return optax.apply_updates(meta_params, keep_part(updates, trained)), opt_state


class WorkerPool(Protocol):
    """Where estimates come from. `workers` has pools for this process, this machine, a cluster."""

    def broadcast(self, weights: Weights) -> None:
        """Makes `weights` what workers use from their next estimate on."""
        ...

    def collect(self) -> Sequence[WorkerResult]:
        """Sets idle workers to work, and waits for the next results.

        A synchronous pool returns one result of each worker at the weights last broadcast, less
        those of workers that were lost. An asynchronous one returns whatever has arrived, stale or
        not; none, if every worker awaited was lost.
        """
        ...

    def lost(self) -> Sequence[Dropped]:
        """The results lost with their workers, or late, since the last call."""
        ...


class OuterStep(NamedTuple):
    """What one outer step did; what `on_step` sees."""

    state: OuterState  # after it
    aggregate: Aggregate
    lost: tuple[Dropped, ...]


def meta_train(
    learner: Learner,
    state: OuterState,
    pool: WorkerPool,
    *,
    max_staleness: int = 0,
    staleness_decay: float = 1.0,
    project: Callable[[MetaParams], MetaParams] = lambda meta_params: meta_params,
    on_step: Callable[[OuterStep], bool | None] = lambda step: None,
) -> OuterState:
    """Runs outer steps until `learner.num_steps` are done, or `on_step` returns True to stop.

    Results are put together as `aggregate` says. `learner.accumulate` rounds of them are as good as
    one of so many times the workers, which take that much longer.
    `project` puts meta-parameters back that a step carried out of their domains, as that of a
    `HyperparameterTraining` does.

    Returns the last state. Raises `RuntimeError` when nothing usable comes back in 100 rounds.
    """
    dropped: list[Dropped] = []
    lost: list[Dropped] = []
    empty_rounds = 0
    while state.step < learner.num_steps:
        pool.broadcast(Weights(state.step, state.meta_params, state.loss_scales))
        rounds = [pool.collect() for _ in range(learner.accumulate)]
        results = list(itertools.chain.from_iterable(rounds))
        result = aggregate(results, state.step, max_staleness, staleness_decay)
        dropped += result.dropped
        lost += pool.lost()
        if result.estimate is None:
            empty_rounds += 1
            if empty_rounds == MAX_EMPTY_ROUNDS:
                raise RuntimeError(_nothing_usable(state.step, dropped + lost))
            continue
        state = learner.update(state, result.estimate)
        state = state._replace(meta_params=project(state.meta_params))
        stop = on_step(OuterStep(state, result._replace(dropped=tuple(dropped)), tuple(lost)))
        empty_rounds, dropped, lost = 0, [], []
        if stop:
            break
    return state


def _nothing_usable(step: int, dropped: Sequence[Dropped]) -> str:
    causes = [loss.cause for loss in dropped[-5:]]
    explained = [loss.explanation for loss in dropped if loss.explanation]
    return (
        f"outer step {step}: no usable result in {MAX_EMPTY_ROUNDS} rounds; "
        f"the last were dropped as {causes}{''.join(f'; {text}' for text in explained[-1:])}"
    )
