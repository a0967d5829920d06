"""Performance profiles, over steps and over time."""

import numpy as np

from metaopt.evaluation_report.data import Evaluated
from metaopt.evaluation_report.measures import TOLERANCE, judged, times
from metaopt.pages import chart, figure
from metaopt.pages.chart import Axes, Series
from metaopt.pages.figure import Figure
from metaopt.pages.html import Html, element
from metaopt.pages.numbers import number, percent
from metaopt.pages.page import Section
from metaopt.pages.scales import Scale
from metaopt.pages.table import Table
from metaopt.protocols import performance_profile

FACTORS = np.linspace(1.0, performance_profile.LARGEST_RATIO, 61)


def section(evaluated: Evaluated) -> Section:
    """How often each optimizer is within a factor of the fastest."""
    tasks = judged(evaluated)
    met = times(evaluated, tasks)
    by_axis = {"Over steps": met.steps, "Over time": met.seconds}
    ratios = {title: performance_profile.ratios(found) for title, found in by_axis.items()}
    panels = [
        (title, _score_line(evaluated, r), _chart(evaluated, title, r))
        for title, r in ratios.items()
    ]
    names = [(name, style) for style, name in enumerate(evaluated.names)]
    content = element("div", figure.legend(names), figure.panels(panels, wide=True))
    met_none = int(np.sum(np.all(np.isinf(met.steps), axis=0)))
    return Section(
        "profiles",
        "Time to a target",
        text=(
            f"On each task the target lies {percent(TOLERANCE)} of the way from the best end of "
            "any other optimizer up to the initial loss. A line at height h above a factor f "
            "says that on a share h of the tasks the optimizer met the target in at most f times "
            "the steps, or the seconds, of the fastest one.",
        ),
        figures=(
            Figure(
                "profiles",
                content,
                f"Performance profiles over {len(tasks)} tasks. On {met_none} of them no optimizer "
                "met the target in more than half of its runs; these count for none.",
                _data(evaluated, ratios),
                _scores(evaluated, ratios),
            ),
        ),
    )


def _chart(evaluated: Evaluated, title: str, ratios: np.ndarray) -> Html:
    heights = performance_profile.profile(ratios, FACTORS)
    # Each value is held until the next: a profile is a step function.
    x = np.repeat(FACTORS, 2)[1:]
    series = [
        Series(name, style, x, np.repeat(heights[style], 2)[:-1])
        for style, name in enumerate(evaluated.names)
    ]
    axes = Axes(
        "times the fastest",
        "share of tasks",
        x=Scale("linear", 1.0, performance_profile.LARGEST_RATIO),
        y=Scale("linear", 0.0, 1.0),
        x_ticks=(1, 1.5, 2, 2.5, 3, 3.5, 4),
        x_text=lambda value: f"{value:g}\u00d7",
        y_text=lambda value: f"{100 * value:.0f} %",
    )
    told = "; ".join(
        f"{name} {percent(float(row[0]))} at once, {percent(float(row[-1]))} within 4 times"
        for name, row in zip(evaluated.names, heights, strict=True)
    )
    return chart.lines(f"{title}: {told}", axes, series)


def _score_line(evaluated: Evaluated, ratios: np.ndarray) -> str:
    found = performance_profile.score(ratios)
    order = np.argsort(-found, kind="stable")[:3]
    return "Highest scores: " + ", ".join(
        f"{evaluated.names[i]} {number(float(found[i]))}" for i in order
    )


def _data(evaluated: Evaluated, ratios: dict[str, np.ndarray]) -> Table:
    rows = [
        (title, name, float(factor), float(height))
        for title, found in ratios.items()
        for name, line in zip(
            evaluated.names, performance_profile.profile(found, FACTORS), strict=True
        )
        for factor, height in zip(FACTORS, line, strict=True)
    ]
    return Table(
        "Performance profiles", ("axis", "optimizer", "factor", "share of tasks"), tuple(rows)
    )


def _scores(evaluated: Evaluated, ratios: dict[str, np.ndarray]) -> Table:
    scores = [performance_profile.score(found) for found in ratios.values()]
    rows = tuple((name, *(float(s[i]) for s in scores)) for i, name in enumerate(evaluated.names))
    return Table("Scores of performance profiles", ("optimizer", *ratios), rows)
