"""How many steps tuned Adam needs for what the subject reaches, as a histogram over tasks."""

import math
from itertools import pairwise

import numpy as np

from metaopt.evaluation_report.data import Evaluated
from metaopt.evaluation_report.measures import judged, speed_ups, with_envelope
from metaopt.pages import chart, figure
from metaopt.pages.chart import Axes, Bar
from metaopt.pages.figure import Figure
from metaopt.pages.html import Html
from metaopt.pages.numbers import number
from metaopt.pages.page import Section
from metaopt.pages.scales import Scale
from metaopt.pages.table import Table

BIN = 0.5  # octaves
WIDTH = 2.0  # octaves on both sides of 1 that are always shown
MAX_TICKS = 7


def section(evaluated: Evaluated, rival: str | None) -> Section | None:
    """Of the subject and of the best other one; None where no task has curves of Adam."""
    tasks = with_envelope(judged(evaluated))
    if not tasks:
        return None
    shown = [evaluated.names[0], *([rival] if rival else [])]
    panels = [_panel(evaluated, name) for name in shown]
    return Section(
        "speed-up",
        "Speed-up over tuned Adam",
        text=(
            "How many steps Adam needs for the final training loss of a run, over the steps that "
            "the run took. This Adam has the best of its learning rates at every single step, "
            "which no user has: Adam itself at its best constant rate is a little below 1. For a "
            "loss that Adam never reached there is no such number; then it is the steps of both "
            "to the last loss of Adam.",
        ),
        figures=(
            Figure(
                "speed_up",
                figure.panels(panels, wide=True),
                f"Runs of {len(tasks)} tasks by their speed-up; the dotted line is parity. Pale, "
                "with a broken edge: runs that ended below all that Adam ever reached. Runs that "
                "ended above the first loss of Adam, or diverged, have a speed-up of 0 and stand "
                "in the bar at the left.",
                _data(evaluated),
                _digest(evaluated),
            ),
        ),
    )


def _panel(evaluated: Evaluated, name: str) -> tuple[str, str, Html]:
    found = speed_ups(judged(evaluated), name, len(evaluated.seeds))
    values = np.ravel(found.values)
    above, none = int(np.sum(values > 1)), int(np.sum(values == 0))
    note = f"{above} of {values.size} runs are faster, {found.num_censored} end below all of Adam"
    edges = _edges(values)
    bars = _bars(evaluated.names.index(name), values, np.ravel(found.at_least), edges)
    axes = Axes(
        "speed-up",
        "runs",
        x=Scale("log", bars[0].x[0], 2.0 ** edges[-1]),
        y=Scale("linear", 0.0, 1.08 * max(bar.solid + bar.pale for bar in bars)),
        x_ticks=[*([math.sqrt(math.prod(bars[0].x))] * (none > 0)), *_octaves(edges)],
        x_text=lambda value: "0" if value < 2.0 ** edges[0] else _fraction(value),
        vertical=1.0,
    )
    median = number(float(np.median(values)))
    said = f"{name}: {note}, {none} have a speed-up of 0, the median is {median}"
    return name, note, chart.bars(said, axes, bars)


def _edges(values: np.ndarray) -> np.ndarray:
    """The edges of bins in octaves, around 1 and all positive values."""
    octaves = [-WIDTH, WIDTH, *np.log2(values[values > 0])]
    first, last = math.floor(min(octaves) / BIN), math.floor(max(octaves) / BIN) + 1
    return BIN * np.arange(first, last + 1)


def _bars(style: int, values: np.ndarray, at_least: np.ndarray, edges: np.ndarray) -> list[Bar]:
    """Ascending bars; that of zeros, if there are any, stands apart at the left."""
    inside = lambda chosen: np.histogram(np.log2(values[chosen & (values > 0)]), edges)[0]
    parts = zip(pairwise(2.0**edges), inside(~at_least), inside(at_least), strict=True)
    bars = [Bar(style, ends, float(solid), float(pale)) for ends, solid, pale in parts]
    if zeros := float(np.sum(values == 0)):
        left = 2.0 ** (edges[0] - 2 * BIN)
        bars.insert(0, Bar(style, (left, left * 2.0**BIN), zeros, 0.0))
    return bars


def _octaves(edges: np.ndarray) -> list[float]:
    first, last = math.ceil(edges[0]), math.floor(edges[-1])
    every = max(1, math.ceil((last - first) / MAX_TICKS))
    return [2.0**e for e in range(first, last + 1) if e % every == 0]


def _fraction(value: float) -> str:
    return f"{value:g}\u00d7" if value >= 1 else f"1/{1 / value:g}"


def _data(evaluated: Evaluated) -> Table:
    tasks = with_envelope(judged(evaluated))
    rows = []
    for name in evaluated.names:
        found = speed_ups(tasks, name, len(evaluated.seeds))
        rows += [
            (
                task.name,
                name,
                seed,
                float(found.values[i, j]),
                "yes" if found.at_least[i, j] else "no",
            )
            for i, task in enumerate(tasks)
            for j, seed in enumerate(evaluated.seeds)
        ]
    columns = ("task", "optimizer", "seed", "speed-up", "ends below all of Adam")
    return Table("Speed-up over tuned Adam", columns, tuple(rows))


def _digest(evaluated: Evaluated) -> Table:
    tasks = judged(evaluated)
    rows = []
    for name in evaluated.names:
        found = speed_ups(tasks, name, len(evaluated.seeds))
        quartiles = np.quantile(found.values, (0.25, 0.5, 0.75))
        rows.append((name, *map(float, quartiles), found.num_censored))
    columns = ("optimizer", "lower quartile", "median", "upper quartile", "runs below all of Adam")
    return Table("Speed-up over tuned Adam", columns, tuple(rows))
