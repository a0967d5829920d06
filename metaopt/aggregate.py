"""From the results of many workers to one estimate."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np

from metaopt.estimators.base import Estimate, joined
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import LossScale

# stale      computed at meta-parameters that are too old
# nonfinite  not a number, or no usable run
# late       its worker did not answer in time and was replaced
# lost       its worker, or one that has another share of the same estimate, died and was replaced
# preempted  its worker's machine was taken away
# raised     its worker raised an exception and was replaced
# malformed  not a result at these meta-parameters; its worker was replaced
Cause: TypeAlias = Literal["stale", "nonfinite", "late", "lost", "preempted", "raised", "malformed"]


class Weights(NamedTuple):
    """What the learner sends to workers."""

    outer_step: int
    meta_params: MetaParams
    loss_scales: Mapping[str, LossScale]  # by task name; a task that is missing is not scaled


class WorkerResult(NamedTuple):
    """What a worker sends back."""

    worker: int
    task: str  # name of the task that the worker trains
    outer_step: int  # of the Weights it used, so that staleness can be judged
    estimate: Estimate
    seconds: float  # wall time of the estimate
    compile_seconds: float = 0.0  # of those, spent on compiling programs
    memory_bytes: int = 0  # resident, of the worker's process
    explanation: str = ""  # of runs that were not finite, in words
    shares: int = 1  # `GradientEstimator.shares`
    num_done: int = 0  # estimates that the worker had made before


class Dropped(NamedTuple):
    """A result that was not used, or was lost with its worker."""

    cause: Cause
    worker: int
    task: str
    staleness: int  # outer steps
    explanation: str = ""  # of results that were not finite, in words


class Aggregate(NamedTuple):
    """The usable results as one estimate."""

    estimate: Estimate | None  # None when no result was usable
    used: tuple[WorkerResult, ...]
    dropped: tuple[Dropped, ...]


def aggregate(
    results: Sequence[WorkerResult],
    outer_step: int,
    max_staleness: int,
    staleness_decay: float = 1.0,
) -> Aggregate:
    """The weighted mean of the usable results, in the order of their workers.

    In the mean, the weight of a result is multiplied by `staleness_decay` for each outer step of
    its age.

    A result is dropped as stale when it was computed at meta-parameters more than `max_staleness`
    outer steps old, and as nonfinite when its gradient or meta-loss is not finite or none of its
    runs was usable. Shares of one estimate are added up, or dropped where one is missing. The order
    makes the sum the same to the bit however results arrived.
    """
    used: list[WorkerResult] = []
    dropped: list[Dropped] = []
    for result in sorted(results, key=lambda result: (result.worker, result.outer_step)):
        staleness = outer_step - result.outer_step
        if staleness > max_staleness:
            dropped.append(Dropped("stale", result.worker, result.task, staleness))
        elif not is_usable(result.estimate):
            of, why = (result.worker, result.task, staleness), result.explanation
            dropped.append(Dropped("nonfinite", *of, why))
        else:
            used.append(result)
    whole, partial = _whole(used)
    dropped += [Dropped("lost", r.worker, r.task, outer_step - r.outer_step) for r in partial]
    used = [result for estimate in whole for result in estimate]
    factors = [staleness_decay ** (outer_step - results[0].outer_step) for results in whole]
    mean = weighted_mean([_estimate(results) for results in whole], factors) if whole else None
    return Aggregate(mean, tuple(used), tuple(dropped))


def _whole(
    results: Sequence[WorkerResult],
) -> tuple[list[list[WorkerResult]], list[WorkerResult]]:
    """The results of each estimate that all shares of are there, and the others."""
    groups: dict[Any, list[WorkerResult]] = {}
    for index, result in enumerate(results):
        alone = result.shares == 1
        group = index if alone else (result.worker // result.shares, result.outer_step)
        groups.setdefault(group, []).append(result)
    whole = [group for group in groups.values() if len(group) == group[0].shares]
    partial = [r for group in groups.values() if len(group) != group[0].shares for r in group]
    return whole, partial


def _estimate(results: Sequence[WorkerResult]) -> Estimate:
    estimates = [result.estimate for result in results]
    return joined(estimates) if len(estimates) > 1 else estimates[0]


def is_usable(estimate: Estimate) -> bool:
    """Whether the estimate has weight, and its gradient and meta-loss are finite."""
    numbers = jax.tree.leaves((estimate.gradient, estimate.meta_loss))
    return float(estimate.weight) > 0 and all(bool(np.all(np.isfinite(x))) for x in numbers)


def weighted_mean(estimates: Sequence[Estimate], factors: Sequence[float] = ()) -> Estimate:
    """The mean of gradients and losses by `weight`, times `factors` where given; numpy float32.

    Weights and metrics add, whatever the factors are: they count runs.
    """
    weights = [
        np.float32(estimate.weight) * np.float32(factor)
        for estimate, factor in zip(estimates, factors or [1.0] * len(estimates), strict=True)
    ]
    total = np.float32(sum(weights))

    def mean(*values: Any) -> Any:
        shares = (weight / total for weight in weights)
        return sum(share * np.asarray(x) for share, x in zip(shares, values, strict=True))

    def added(*values: Any) -> Any:
        return np.float32(sum(values))

    return Estimate(
        gradient=jax.tree.map(mean, *(e.gradient for e in estimates)),
        meta_loss=mean(*(e.meta_loss for e in estimates)),
        weight=added(*(np.float32(e.weight) for e in estimates)),
        metrics=jax.tree.map(added, *(e.metrics for e in estimates)),
    )
