"""Training loss over steps, one panel a task."""

from collections.abc import Sequence

import numpy as np

from metaopt.evaluation_report.data import WRONG_HORIZON, Evaluated, TaskResults
from metaopt.pages import chart, figure, scales
from metaopt.pages.chart import Axes, Series
from metaopt.pages.figure import Figure
from metaopt.pages.html import Html, element
from metaopt.pages.numbers import counted, number
from metaopt.pages.page import Section
from metaopt.pages.table import Cell, Table
from metaopt.protocols import resources, speed_up

NUM_DRAWN = 5  # optimizers in a panel
NUM_POINTS = 60  # of a drawn line
QUARTILES = (0.25, 0.5, 0.75)
MAX_TIMED = 12  # panels over seconds


def section(evaluated: Evaluated) -> Section:
    """The curves of all tasks."""
    tasks = [task for task in evaluated.tasks if task.axis != WRONG_HORIZON]
    panels = [_panel(evaluated, task, over_time=False) for task in tasks]
    return Section(
        "curves",
        "Training curves",
        text=(
            "Lines are medians over seeds of the training loss, averaged over about "
            f"{speed_up.SPAN} steps, bands reach from the lower to the upper quartile. Each panel "
            f"has the subject and the {NUM_DRAWN - 1} others that end lowest on that task; the "
            "files have all. A run that has diverged counts as infinite from there on: a band "
            "without an upper end reaches to the top.",
        ),
        figures=(
            Figure(
                "curves",
                _with_legend(evaluated, figure.panels(panels)),
                "Smoothed minibatch training loss before each step. Tasks with a wrong "
                "announcement are in the files alone.",
                data(evaluated.tasks),
                digest(evaluated.tasks),
            ),
        ),
    )


def over_time(evaluated: Evaluated) -> Figure:
    """The same curves over seconds, for one task of each family."""
    first: dict[str, TaskResults] = {}
    for task in evaluated.tasks:
        first.setdefault(task.family, task)
    tasks = list(first.values())[:MAX_TIMED]
    panels = [_panel(evaluated, task, over_time=True) for task in tasks]
    return Figure(
        "curves_over_time",
        _with_legend(evaluated, figure.panels(panels)),
        f"The same curves over seconds, for the first task of each family, at most {MAX_TIMED} "
        "families. Seconds are steps times the measured time of a step.",
        data(tasks),
        digest(tasks),
    )


def _with_legend(evaluated: Evaluated, panels: Html) -> Html:
    names = [(name, style) for style, name in enumerate(evaluated.names)]
    return element("div", figure.legend(names), panels)


def _panel(evaluated: Evaluated, task: TaskResults, over_time: bool) -> tuple[str, str, Html]:
    series = [_series(evaluated, task, name, over_time) for name in drawn(evaluated, task)]
    ends = "; ".join(f"{one.name} {number(_last(one.y))}" for one in series)
    missing = sum(int(np.sum(~np.isfinite(r.curves[:, -1]))) for r in task.results.values())
    note = task.family
    if task.num_parameters is not None:
        note += f", {counted(task.num_parameters, 'parameter')}"
    if missing:
        note += f", {counted(missing, 'run')} diverged"
    axes = Axes(
        "seconds" if over_time else "step",
        "training loss",
        x=_reach(series),
        y=scales.around(np.concatenate([_heights(one) for one in series] or [np.zeros(0)]), "log"),
    )
    return task.name, note, chart.lines(f"{task.name}, medians at the end: {ends}", axes, series)


def drawn(evaluated: Evaluated, task: TaskResults) -> list[str]:
    """The subject, then the others that end lowest."""
    subject, *others = evaluated.names
    end = lambda name: quartiles(task, name)[1, -1]
    lowest = sorted((name for name in others if name in task.results), key=end)
    return [subject] * (subject in task.results) + lowest[: NUM_DRAWN - 1]


def quartiles(task: TaskResults, name: str) -> np.ndarray:
    """Over seeds, at each kept step, [3, num_points]; what is not finite is infinite."""
    curves = speed_up.recent(task.results[name].curves, task.steps)
    return np.quantile(curves, QUARTILES, axis=0, method="inverted_cdf")


def _series(evaluated: Evaluated, task: TaskResults, name: str, over_time: bool) -> Series:
    result = task.results[name]
    low, median, high = quartiles(task, name)
    x = resources.seconds(task.steps, result.step_milliseconds) if over_time else task.steps
    chosen = np.unique(np.linspace(0, len(x) - 1, NUM_POINTS).round().astype(int))
    style = evaluated.names.index(name)
    return Series(name, style, x[chosen], median[chosen], low[chosen], high[chosen])


def _heights(series: Series) -> np.ndarray:
    assert series.low is not None and series.high is not None
    # The first points, before anything is learned, may be much higher for one optimizer.
    return np.concatenate([series.y, series.low, np.minimum(series.high, np.nanmax(series.y))])


def _reach(series: Sequence[Series]) -> scales.Scale:
    ends = [float(one.x[-1]) for one in series if np.isfinite(one.x[-1])]
    return scales.Scale("linear", 0.0, max(ends, default=1.0) or 1.0)


def _last(losses: np.ndarray) -> float:
    return float(losses[-1])


def data(tasks: Sequence[TaskResults]) -> Table:
    """All curves, a row a point."""
    rows: list[tuple[Cell, ...]] = []
    for task in tasks:
        for name, result in task.results.items():
            seconds = resources.seconds(task.steps, result.step_milliseconds)
            points = zip(task.steps, seconds, *quartiles(task, name), strict=True)
            rows += [(task.name, name, int(step), *map(float, rest)) for step, *rest in points]
    columns = ("task", "optimizer", "step", "seconds", "lower quartile", "median", "upper quartile")
    return Table("Smoothed training loss", columns, tuple(rows))


def digest(tasks: Sequence[TaskResults]) -> Table:
    """The ends of all curves."""
    rows = tuple(
        (task.name, name, *(float(q) for q in quartiles(task, name)[:, -1]))
        for task in tasks
        for name in task.results
    )
    columns = ("task", "optimizer", "lower quartile", "median", "upper quartile")
    return Table("Smoothed training loss at the end", columns, rows)
