"""The protocols on an evaluation: arrays over its tasks and seeds, and what they come to.

Whatever an optimizer did not finish, or did not bring to a finite loss, is the worst there is: a
score of 0, a speed-up of 0, a target that is never met. No run is left out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metaopt import bootstrap
from metaopt.bootstrap import Measured
from metaopt.evaluation_report.data import (
    IN_DISTRIBUTION,
    WRONG_HORIZON,
    Evaluated,
    Result,
    TaskResults,
)
from metaopt.protocols import (
    divergence,
    normalized_loss,
    performance_profile,
    resources,
    speed_up,
    time_to_target,
)
from metaopt.protocols.divergence import Failures
from metaopt.protocols.robust_aggregates import (
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
)
from metaopt.protocols.speed_up import SpeedUps

NUM_RESAMPLES = 2000
TOLERANCE = 0.05  # of targets, as a share of the way from the best loss to the initial one


def stratified(statistic: bootstrap.Statistic, *scores: np.ndarray) -> Measured:
    """A statistic of scores, [num_tasks, num_seeds] each, with its interval."""
    return bootstrap.stratified(statistic, *scores, num_resamples=NUM_RESAMPLES)


def judged(evaluated: Evaluated) -> list[TaskResults]:
    """The tasks of headline and profiles: those with a scale that were told their true length."""
    return [task for task in evaluated.tasks if task.axis != WRONG_HORIZON and has_scale(task)]


def has_scale(task: TaskResults) -> bool:
    """Whether losses of the task can be normalised."""
    return bool(np.isfinite(task.initial) and task.best < task.initial)


def inside(tasks: Sequence[TaskResults]) -> list[TaskResults]:
    """Those of the training distribution."""
    return [task for task in tasks if task.split == IN_DISTRIBUTION]


def outside(tasks: Sequence[TaskResults]) -> list[TaskResults]:
    """The others."""
    return [task for task in tasks if task.split != IN_DISTRIBUTION]


def losses(
    tasks: Sequence[TaskResults], name: str, num_seeds: int, measure: str = "final_train_loss"
) -> np.ndarray:
    """Losses of an optimizer, [num_tasks, num_seeds]; inf where there is no finite one."""
    missing = np.full(num_seeds, np.inf)
    rows = [getattr(t.results[name], measure) if name in t.results else missing for t in tasks]
    found = np.asarray(rows, np.float64).reshape(len(tasks), num_seeds)
    return np.where(np.isfinite(found), found, np.inf)


def normalized(tasks: Sequence[TaskResults], name: str, num_seeds: int) -> np.ndarray:
    """Final training losses on the scale of TaskSet, [num_tasks, num_seeds], at most 1."""
    found = losses(tasks, name, num_seeds)
    pairs = zip(found, tasks, strict=True)
    rows = [normalized_loss.taskset(row, task.initial, task.best) for row, task in pairs]
    return np.asarray(rows, np.float64).reshape(found.shape)


def scores(tasks: Sequence[TaskResults], name: str, num_seeds: int) -> np.ndarray:
    """One less the normalised loss: 0 at the start, 1 at the best of all baselines."""
    return 1.0 - normalized(tasks, name, num_seeds)


def speed_ups(tasks: Sequence[TaskResults], name: str, num_seeds: int) -> SpeedUps:
    """Over tuned Adam, on the tasks `with_envelope`: [their number, num_seeds]."""
    rows = [_speed_ups(task, name, num_seeds) for task in with_envelope(tasks)]
    shape = (len(rows), num_seeds)
    return SpeedUps(
        np.asarray([row.values for row in rows], np.float64).reshape(shape),
        np.asarray([row.at_least for row in rows], bool).reshape(shape),
    )


def with_envelope(tasks: Sequence[TaskResults]) -> list[TaskResults]:
    """The tasks of at least one step, with curves of Adam that begin with finite losses."""
    begins = lambda grid: np.any(np.all(np.isfinite(grid.curves[:, :, 0]), axis=1))
    return [t for t in tasks if t.adam is not None and t.steps[-1] > 0 and begins(t.adam)]


def _speed_ups(task: TaskResults, name: str, num_seeds: int) -> SpeedUps:
    if name not in task.results:
        return SpeedUps(np.zeros(num_seeds), np.zeros(num_seeds, bool))
    assert task.adam is not None
    envelope = speed_up.envelope(task.adam.curves, task.adam.steps)
    return speed_up.at_common_loss(task.results[name].curves, task.steps, envelope)


class Times(NamedTuple):
    """When optimizers meet the targets: the median over seeds, [num_optimizers, num_tasks]."""

    steps: np.ndarray
    seconds: np.ndarray


def times(evaluated: Evaluated, tasks: Sequence[TaskResults]) -> Times:
    """Of all optimizers; inf where the target is not met in more than half of the runs."""
    shape = (len(evaluated.optimizers), len(tasks))
    found = Times(np.full(shape, np.inf), np.full(shape, np.inf))
    for j, task in enumerate(tasks):
        goal = target(evaluated, task)
        for i, name in enumerate(evaluated.names):
            if name in task.results:
                result = task.results[name]
                first = time_to_target.first_times(result.curves, task.steps, goal)
                found.steps[i, j] = time_to_target.over_runs(first)
                found.seconds[i, j] = resources.seconds(found.steps[i, j], result.step_milliseconds)
    return found._replace(seconds=np.where(np.isfinite(found.seconds), found.seconds, np.inf))


def target(evaluated: Evaluated, task: TaskResults) -> float:
    """What is to be reached: near the end of the best curve of any but the subject."""
    ends = [
        np.median(_ends(task.results[optimizer.name]))
        for optimizer in evaluated.optimizers[1:]
        if optimizer.name in task.results
    ]
    return time_to_target.target(task.initial, float(min([*ends, task.initial])), TOLERANCE)


def _ends(result: Result) -> np.ndarray:
    return np.where(np.isfinite(result.curves[:, -1]), result.curves[:, -1], np.inf)


def failures(tasks: Sequence[TaskResults], name: str) -> list[tuple[TaskResults, Failures]]:
    """How many runs went wrong, for each task that has results of the optimizer."""
    return [
        (
            task,
            divergence.count(
                result.final_train_loss, task.initial, result.test_loss, _path(result)
            ),
        )
        for task in tasks
        if (result := task.results.get(name)) is not None
    ]


def _path(result: Result) -> np.ndarray:
    return np.sum(result.curves, axis=1)


def loss_ratio(
    tasks: Sequence[TaskResults], name: str, other: str, num_seeds: int
) -> Measured | None:
    """The interquartile mean of final training losses over those of `other`, paired by seed.

    Of the tasks on which all losses are positive; None when there is none. Where both diverged the
    ratio is 1.
    """
    ours, theirs = (losses(tasks, who, num_seeds) for who in (name, other))
    positive = np.all((ours > 0) & (theirs > 0), axis=1)
    if not np.any(positive):
        return None
    with np.errstate(invalid="ignore"):
        ratios = ours[positive] / theirs[positive]
    return stratified(interquartile_mean, np.where(np.isnan(ratios), 1.0, ratios))


class Standing(NamedTuple):
    """What one optimizer came to, over all judged tasks."""

    name: str
    score: Measured  # interquartile mean of scores
    optimality_gap: Measured
    improvement: Measured | None  # how likely a run of the subject beats one of its own
    test_improvement: Measured | None  # the same by test loss
    loss_ratio: Measured | None  # final training loss of the subject over its own
    speed_up: Measured | None
    num_beyond: int  # runs that ended below all of tuned Adam
    profile_score_steps: float
    profile_score_seconds: float
    failures: Failures


def standings(evaluated: Evaluated) -> list[Standing]:
    """Of all optimizers, in their order."""
    tasks = judged(evaluated)
    met = times(evaluated, tasks)
    by_steps = performance_profile.score(performance_profile.ratios(met.steps))
    by_seconds = performance_profile.score(performance_profile.ratios(met.seconds))
    return [
        _standing(evaluated, tasks, optimizer.name, float(by_steps[i]), float(by_seconds[i]))
        for i, optimizer in enumerate(evaluated.optimizers)
    ]


def _standing(
    evaluated: Evaluated, tasks: list[TaskResults], name: str, by_steps: float, by_seconds: float
) -> Standing:
    num_seeds, subject = len(evaluated.seeds), evaluated.names[0]
    of = scores(tasks, name, num_seeds)
    faster = speed_ups(tasks, name, num_seeds)
    others = name != subject
    gains = lambda measure, who: -losses(tasks, who, num_seeds, measure)
    beats = lambda measure: stratified(
        probability_of_improvement, gains(measure, subject), gains(measure, name)
    )
    return Standing(
        name,
        stratified(interquartile_mean, of),
        stratified(optimality_gap, of),
        beats("final_train_loss") if others else None,
        beats("test_loss") if others else None,
        loss_ratio(tasks, subject, name, num_seeds) if others else None,
        stratified(interquartile_mean, faster.values) if faster.values.size else None,
        faster.num_censored,
        by_steps,
        by_seconds,
        divergence.total([count for _, count in failures(evaluated.tasks, name)]),
    )
