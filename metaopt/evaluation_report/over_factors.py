"""Measured numbers over a factor: as a chart, and as a table with a column for each factor."""

from collections.abc import Mapping, Sequence

import numpy as np

from metaopt.bootstrap import Measured
from metaopt.evaluation_report.data import Evaluated
from metaopt.pages import chart, figure, scales
from metaopt.pages.chart import Axes, Series
from metaopt.pages.html import Html
from metaopt.pages.numbers import number, tick
from metaopt.pages.table import Table

MAX_TICKS = 7

Points = Sequence[tuple[float, Measured]]  # by ascending factor; infinite for one without a size


def draw(
    evaluated: Evaluated,
    words: str,
    labels: tuple[str, str],
    points: Mapping[str, Points],
    horizontal: float | None = None,
) -> Html:
    """Lines of optimizers through their `points`, over axes with `labels`."""
    series = [_series(evaluated, name, _sized(found)) for name, found in points.items()]
    x = np.concatenate([one.x for one in series])
    ends = [end for one in series for end in (one.y, one.low, one.high) if end is not None]
    ticks = sorted(set(x.tolist()))
    axes = Axes(
        *labels,
        x=scales.around(x, "log", margin=0.12),
        y=scales.around(np.concatenate(ends), "linear"),
        x_ticks=ticks if len(ticks) <= MAX_TICKS else None,
        x_text=times,
        horizontal=horizontal,
    )
    told = "; ".join(f"{one.name} {_told(one)}" for one in series)
    return chart.points(f"{words}: {told}", axes, series)


def table(title: str, points: Mapping[str, Points], other: str) -> Table:
    """A row for each optimizer and a column for each factor; `other` heads one without a size."""
    factors = sorted({factor for found in points.values() for factor, _ in found})
    heads = [times(factor) if np.isfinite(factor) else other for factor in factors]
    rows = tuple((name, *map(dict(found).get, factors)) for name, found in points.items())
    return Table(title, ("optimizer", *heads), rows)


def legend(evaluated: Evaluated, names: Sequence[str]) -> Html:
    """Which line is which optimizer."""
    return figure.legend([(name, evaluated.names.index(name)) for name in names])


def times(factor: float) -> str:
    """A factor as it is read."""
    return f"{tick(factor)}\u00d7"


def num_sizes(points: Points) -> int:
    """How many of them can be drawn over a factor."""
    return len(_sized(points))


def _sized(points: Points) -> Points:
    return [(factor, measured) for factor, measured in points if np.isfinite(factor)]


def _series(evaluated: Evaluated, name: str, points: Points) -> Series:
    columns = np.asarray([(x, m.value, *m.interval) for x, m in points], np.float64).T
    return Series(name, evaluated.names.index(name), *columns)


def _told(series: Series) -> str:
    pairs = zip(series.x.tolist(), series.y.tolist(), strict=True)
    return ", ".join(f"{number(y)} at {times(x)}" for x, y in pairs)
