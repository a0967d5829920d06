"""How far the score carries: outside the training distribution, and up in scale."""

from collections.abc import Mapping, Sequence

import numpy as np

from metaopt.evaluation_report import over_factors
from metaopt.evaluation_report.data import Evaluated, TaskResults
from metaopt.evaluation_report.measures import (
    NUM_RESAMPLES,
    inside,
    judged,
    outside,
    scores,
    stratified,
)
from metaopt.evaluation_report.over_factors import Points
from metaopt.pages import figure
from metaopt.pages.figure import Figure
from metaopt.pages.html import Html, element
from metaopt.pages.numbers import counted
from metaopt.pages.page import Section
from metaopt.pages.table import Cell, Table
from metaopt.protocols import generalization
from metaopt.protocols.generalization import AtScale
from metaopt.protocols.robust_aggregates import interquartile_mean

NUM_DRAWN = 4  # optimizers in a chart


def split_section(evaluated: Evaluated) -> Section:
    """Scores in and outside the training distribution, and the gap between."""
    tasks = judged(evaluated)
    num_seeds = len(evaluated.seeds)
    if not (inside(tasks) and outside(tasks)):
        where = "inside" if inside(tasks) else "outside"
        text = (f"All {len(tasks)} tasks lie {where} the training distribution.",)
        return Section("split", "In and out of distribution", text)
    rows = tuple(
        _split_row(
            name, scores(inside(tasks), name, num_seeds), scores(outside(tasks), name, num_seeds)
        )
        for name in evaluated.names
    )
    columns = ("optimizer", "in distribution", "out of distribution", "gap")
    table = Table("Scores in and out of the training distribution", columns, rows)
    return Section(
        "split",
        "In and out of distribution",
        text=(
            f"Drawn like those of meta-training are {len(inside(tasks))} of "
            f"{counted(len(tasks), 'task')}. A gap above 0: the score is lower on the others.",
        ),
        figures=(
            figure.of_table("split", table, "Interquartile means of scores with 95 % intervals."),
        ),
    )


def _split_row(name: str, within: np.ndarray, without: np.ndarray) -> tuple[Cell, ...]:
    return (
        name,
        stratified(interquartile_mean, within),
        stratified(interquartile_mean, without),
        generalization.gap(within, without, NUM_RESAMPLES),
    )


def scale_section(evaluated: Evaluated, shown: Sequence[str]) -> Section:
    """Scores over the factor by which tasks are wider, deeper or longer; `shown` are drawn."""
    title, by_axis = "Larger and longer tasks", _by_axis(judged(evaluated))
    if not by_axis:
        return Section("scale", title, ("No task of this evaluation is larger or longer.",))
    found = {
        axis: {name: _at_scales(evaluated, tasks, name) for name in evaluated.names}
        for axis, tasks in by_axis.items()
    }
    points = {
        axis: {name: [(p.scale, p.score) for p in line] for name, line in lines.items()}
        for axis, lines in found.items()
    }
    tables = [
        over_factors.table(f"Score by {axis}", lines, f"other {axis}").html()
        for axis, lines in points.items()
    ]
    content = element(
        "div",
        over_factors.legend(evaluated, shown),
        figure.panels(_panels(evaluated, points, shown)),
        element("div", *tables, class_="tables"),
    )
    return Section(
        "scale",
        title,
        text=(
            "Score over the factor by which tasks exceed those of meta-training that they are made "
            "of, which stand at 1. A change without a size, such as other data, is in the tables.",
        ),
        figures=(
            Figure("scale", content, "Interquartile means with 95 % intervals.", _data(found)),
        ),
    )


def _panels(
    evaluated: Evaluated, points: Mapping[str, Mapping[str, Points]], shown: Sequence[str]
) -> list[tuple[str, str, Html]]:
    return [
        (axis.capitalize(), "", _panel(evaluated, axis, {name: lines[name] for name in shown}))
        for axis, lines in points.items()
        if over_factors.num_sizes(lines[evaluated.names[0]]) > 1
    ]


def _panel(evaluated: Evaluated, axis: str, lines: Mapping[str, Points]) -> Html:
    labels = (f"factor of {axis}", "score")
    return over_factors.draw(evaluated, f"Score by factor of {axis}", labels, lines)


def _by_axis(tasks: Sequence[TaskResults]) -> dict[str, list[TaskResults]]:
    """The tasks that widen something, by what, with the tasks that they widen."""
    axes: dict[str, list[TaskResults]] = {}
    for axis in dict.fromkeys(task.axis for task in outside(tasks) if task.axis):
        wider = [task for task in outside(tasks) if task.axis == axis]
        axes[axis] = [*_widened(tasks, wider), *wider]
    return axes


def _widened(tasks: Sequence[TaskResults], wider: Sequence[TaskResults]) -> list[TaskResults]:
    """What `wider` are made of, where they say it; else the tasks of the same families."""
    names, families = {t.of for t in wider if t.of}, {t.family for t in wider if not t.of}
    return [t for t in inside(tasks) if t.name in names or t.family in families]


def _scale_of(task: TaskResults) -> float:
    """1 for the tasks of meta-training, infinite for a change without a size."""
    if task.axis is None:
        return 1.0
    return float("inf") if task.scale is None else float(task.scale)


def _at_scales(evaluated: Evaluated, tasks: Sequence[TaskResults], name: str) -> list[AtScale]:
    of = scores(tasks, name, len(evaluated.seeds))
    return generalization.by_scale(of, [_scale_of(task) for task in tasks], NUM_RESAMPLES)


def _data(found: dict[str, dict[str, list[AtScale]]]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, axis, point.scale, point.num_tasks, point.score)
        for axis, lines in found.items()
        for name, line in lines.items()
        for point in line
    ]
    columns = ("optimizer", "changed", "factor", "tasks", "score")
    return Table("Scores by what is changed, and by how much", columns, tuple(rows))
