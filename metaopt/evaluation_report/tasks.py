"""All tasks with the final losses of all optimizers."""

import numpy as np

from metaopt.evaluation_report.data import Evaluated, TaskResults
from metaopt.evaluation_report.measures import losses
from metaopt.pages import figure
from metaopt.pages.numbers import number
from metaopt.pages.page import Section
from metaopt.pages.table import Cell, Table


def section(evaluated: Evaluated) -> Section:
    """A row for each task."""
    rows = tuple(_row(evaluated, task) for task in evaluated.tasks)
    columns = ("task", "family", "split", "changed", "steps", "parameters", *evaluated.names)
    table = Table("Final training loss by task", columns, rows)
    caption = (
        "Medians over seeds, on the whole train split; infinite where more than half diverged."
    )
    return Section("tasks", "All tasks", figures=(figure.of_table("tasks", table, caption),))


def _row(evaluated: Evaluated, task: TaskResults) -> tuple[Cell, ...]:
    changed = task.axis or ""
    if task.axis and task.scale is not None:
        changed += f" {number(task.scale)}\u00d7"
    medians = [losses([task], name, len(evaluated.seeds))[0] for name in evaluated.names]
    return (
        task.name,
        task.family,
        task.split.replace("_", " "),
        changed.replace("_", " ") or None,
        task.num_steps,
        task.num_parameters,
        *(float(np.median(found)) for found in medians),
    )
