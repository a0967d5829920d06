"""All tasks with the final losses of all optimizers."""

import numpy as np

from metaopt.evaluation_report import over_factors
from metaopt.evaluation_report.data import IN_DISTRIBUTION, Evaluated, TaskResults
from metaopt.evaluation_report.measures import losses
from metaopt.pages import figure
from metaopt.pages.page import Section
from metaopt.pages.table import Cell, Table


def section(evaluated: Evaluated) -> Section:
    """A row for each task."""
    rows = tuple(_row(evaluated, task) for task in evaluated.tasks)
    columns = ("task", "family", "distribution", "changed", "steps", "parameters", *evaluated.names)
    table = Table("Final training loss by task", columns, rows)
    caption = (
        "Medians over seeds, on the whole train split; infinite where more than half diverged."
    )
    return Section("tasks", "All tasks", figures=(figure.of_table("tasks", table, caption),))


def _row(evaluated: Evaluated, task: TaskResults) -> tuple[Cell, ...]:
    changed = task.axis or ""
    if task.axis and task.scale is not None:
        changed += f" {over_factors.times(task.scale)}"
    medians = [losses([task], name, len(evaluated.seeds))[0] for name in evaluated.names]
    return (
        task.name,
        task.family,
        "in" if task.split == IN_DISTRIBUTION else "out",
        changed.replace("_", " ") or None,
        task.num_steps,
        task.num_parameters,
        *(float(np.median(found)) for found in medians),
    )
