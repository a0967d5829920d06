"""Meta-loss of runs over outer steps, inner steps and hours."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from metaopt.pages import chart, figure, scales
from metaopt.pages.chart import Axes, Series
from metaopt.pages.figure import Figure
from metaopt.pages.html import Html, element
from metaopt.pages.numbers import number
from metaopt.pages.page import Section
from metaopt.pages.table import Cell, Table
from metaopt.run_comparison.runs import MetaTraining, smoothed

NUM_POINTS = 240  # of a drawn line
MAX_TASKS = 24  # panels
AXES: Mapping[str, Callable[[MetaTraining], np.ndarray]] = {
    "outer step": lambda run: run.steps,
    "inner steps": lambda run: run.inner_steps,
    "hours": lambda run: run.hours,
}


def section(runs: Sequence[MetaTraining]) -> Section:
    """Meta-loss over each of `AXES`."""
    panels = [
        (f"Over {label}{'' if label.endswith('s') else 's'}", "", _chart(label, runs, of))
        for label, of in AXES.items()
    ]
    content = element("div", legend(runs), figure.panels(panels))
    return Section(
        "meta-loss",
        "Meta-loss",
        text=(
            "The exponential average of the meta-loss, of decay .95 over outer steps. Outer steps "
            "whose meta-loss is not finite are left out of it.",
        ),
        figures=(
            Figure(
                "meta_loss", content, "The files have every outer step.", _data(runs), _ends(runs)
            ),
        ),
    )


def task_section(runs: Sequence[MetaTraining]) -> Section | None:
    """Meta-loss by task; None unless there are tasks that several runs trained."""
    shared = _shared_tasks(runs)
    if not shared:
        return None
    panels = [(task, "", _task_chart(task, runs)) for task in shared[:MAX_TASKS]]
    rows = [
        (run.name, task, int(step), float(loss))
        for run in runs
        for task in shared
        for step, loss in zip(run.steps, _task_losses(run, task), strict=True)
        if np.isfinite(loss)
    ]
    data = Table("Meta-loss by task", ("run", "task", "outer step", "meta-loss"), tuple(rows))
    ends = tuple(
        (task, *(_last(smoothed(_task_losses(run, task))) for run in runs)) for task in shared
    )
    digest = Table("Smoothed meta-loss at the end", ("task", *(r.name for r in runs)), ends)
    caption = f"The first {MAX_TASKS} of {len(shared)} tasks." if len(shared) > MAX_TASKS else ""
    content = element("div", legend(runs), figure.panels(panels))
    text = ("Smoothed as above, over the outer steps in which the task had a part.",)
    return Section(
        "tasks", "By task", text, (Figure("meta_loss_by_task", content, caption, data, digest),)
    )


def legend(runs: Sequence[MetaTraining]) -> Html:
    """Which line is which run."""
    return figure.legend([(run.name, style) for style, run in enumerate(runs)])


def _shared_tasks(runs: Sequence[MetaTraining]) -> list[str]:
    """Tasks that at least two of the runs trained, unless all runs have but one."""
    tasks = [
        dict.fromkeys(task for r in run.records for task in r.get("tasks", {})) for run in runs
    ]
    if all(len(of_run) <= 1 for of_run in tasks):
        return []
    everything = dict.fromkeys(task for of_run in tasks for task in of_run)
    return [task for task in everything if sum(task in of_run for of_run in tasks) > 1]


def _task_losses(run: MetaTraining, task: str) -> np.ndarray:
    of = lambda record: record.get("tasks", {}).get(task, {}).get("meta_loss", np.nan)
    return np.asarray([float(of(record)) for record in run.records])


def _chart(
    label: str, runs: Sequence[MetaTraining], of: Callable[[MetaTraining], np.ndarray]
) -> Html:
    lines = [(run.name, of(run), run.smoothed) for run in runs]
    return draw(f"Meta-loss over {label}", (label, "meta-loss"), lines)


def _task_chart(task: str, runs: Sequence[MetaTraining]) -> Html:
    lines = [(run.name, run.steps, smoothed(_task_losses(run, task))) for run in runs]
    return draw(f"Meta-loss on {task}", ("outer step", "meta-loss"), lines)


def draw(
    words: str, labels: tuple[str, str], lines: Sequence[tuple[str, np.ndarray, np.ndarray]]
) -> Html:
    """Lines by name, x and y, styled by their places, without the points that have no value."""
    series = []
    for style, (name, x, y) in enumerate(lines):
        there = np.flatnonzero(np.isfinite(y) & np.isfinite(x))
        every = -(-len(there) // NUM_POINTS) or 1
        chosen = np.union1d(there[::every], there[-1:])
        series.append(Series(name, style, x[chosen], y[chosen]))
    ends = [float(one.x[-1]) for one in series if one.x.size]
    heights = np.concatenate([one.y for one in series]) if series else np.zeros(0)
    axes = Axes(
        *labels,
        x=scales.Scale("linear", 0.0, max(ends, default=1.0) or 1.0),
        y=scales.around(heights, "log"),
    )
    told = "; ".join(f"{one.name} ends at {number(_last(one.y))}" for one in series)
    return chart.lines(f"{words}: {told}", axes, series)


def _last(losses: np.ndarray) -> float | None:
    finite = losses[np.isfinite(losses)]
    return float(finite[-1]) if finite.size else None


def _data(runs: Sequence[MetaTraining]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        columns = (run.steps, run.inner_steps, run.hours, run.column("meta_loss"), run.smoothed)
        rows += [
            (run.name, int(step), round(inner), float(hours), float(loss), float(smooth))
            for step, inner, hours, loss, smooth in zip(*columns, strict=True)
        ]
    columns = ("run", "outer step", "inner steps", "hours", "meta-loss", "smoothed")
    return Table("Meta-loss", columns, tuple(rows))


def _ends(runs: Sequence[MetaTraining]) -> Table:
    rows = tuple((run.name, len(run.records), _last(run.smoothed)) for run in runs)
    return Table("Smoothed meta-loss at the end", ("run", "outer steps", "meta-loss"), rows)
