"""What optimizers cost in time and memory, and their curves over seconds."""

from collections.abc import Sequence

import numpy as np

from metaopt.bootstrap import Measured
from metaopt.evaluation_report import training_curves
from metaopt.evaluation_report.data import Evaluated, TaskResults
from metaopt.evaluation_report.measures import judged, stratified
from metaopt.pages import figure
from metaopt.pages.page import Section
from metaopt.pages.table import Cell, Table
from metaopt.protocols import normalized_loss, resources
from metaopt.protocols.robust_aggregates import interquartile_mean

COLUMNS = (
    "optimizer",
    "ms per update",
    "ms per step",
    "step over that of the fastest",
    "bytes of state per parameter",
    "score at equal time",
)


def section(evaluated: Evaluated) -> Section:
    """Overhead, and the curves on an axis of time."""
    tasks = judged(evaluated)
    rows = tuple(_row(evaluated, tasks, name) for name in evaluated.names)
    table = Table("Cost of updates and steps", COLUMNS, rows)
    return Section(
        "costs",
        "Time and memory",
        text=(
            "Medians over tasks of one machine. An update is the work of the optimizer alone, a "
            "step has the gradient too. The score at equal time is that of the smoothed loss "
            "when the optimizer with the shortest steps is done with the task: a slower "
            "optimizer has done fewer steps by then.",
        ),
        figures=(
            figure.of_table("costs", table, f"Measured on {evaluated.platform}."),
            training_curves.over_time(evaluated),
        ),
    )


def _row(evaluated: Evaluated, tasks: Sequence[TaskResults], name: str) -> tuple[Cell, ...]:
    done = [task for task in evaluated.tasks if name in task.results]
    median = lambda values: float(np.median(values)) if len(values) else float("nan")
    of = lambda field: median([getattr(task.results[name], field) for task in done])
    slower = [task.results[name].step_milliseconds / shortest_step(task) for task in done]
    return (
        name,
        of("update_milliseconds"),
        of("step_milliseconds"),
        median(slower),
        of("state_bytes_per_parameter"),
        _score_at_equal_time(tasks, name, len(evaluated.seeds)),
    )


def shortest_step(task: TaskResults) -> float:
    """The milliseconds of the fastest step on a task."""
    return min(result.step_milliseconds for result in task.results.values())


def _score_at_equal_time(
    tasks: Sequence[TaskResults], name: str, num_seeds: int
) -> Measured | None:
    if not tasks:
        return None
    rows = []
    for task in tasks:
        if name not in task.results:
            rows.append(np.zeros(num_seeds))
            continue
        result = task.results[name]
        budget = float(resources.seconds(task.steps[-1], shortest_step(task)))
        axis = resources.seconds(task.steps, result.step_milliseconds)
        losses = resources.losses_at(result.curves, axis, budget * (1 + 1e-9))
        rows.append(1.0 - normalized_loss.taskset(losses, task.initial, task.best))
    return stratified(interquartile_mean, np.asarray(rows))
