"""A measured number with its interval, drawn on an axis that a column of a table shares."""

from collections.abc import Sequence

import numpy as np

from metaopt.bootstrap import Measured
from metaopt.pages import scales
from metaopt.pages.html import Html, element
from metaopt.pages.numbers import number
from metaopt.pages.scales import Scale

WIDTH, HEIGHT = 130, 12


def shared_scale(column: Sequence[Measured], kind: scales.Kind = "linear") -> Scale:
    """An axis on which all of a column fits."""
    ends = [end for measured in column for end in (measured.value, *measured.interval)]
    return scales.around(np.asarray(ends, np.float64), kind)


def cell(measured: Measured, scale: Scale, style: int = 1, reference: float | None = None) -> Html:
    """The number, its interval as a line, and both ends in words."""
    low, high = measured.interval
    left, middle, right = WIDTH * scale.place(np.asarray([low, measured.value, high]))
    color, y = f"c{style}", HEIGHT / 2
    drawn = [element("line", class_="grid", x1=0, x2=WIDTH, y1=y, y2=y)]
    if reference is not None:
        at = float(WIDTH * scale.place(np.asarray(reference)))
        drawn.append(element("line", class_="reference", x1=at, x2=at, y1=0, y2=HEIGHT))
    drawn += [
        element("line", class_=f"line {color}", x1=float(left), x2=float(right), y1=y, y2=y),
        element("circle", class_=f"point {color}", cx=float(middle), cy=y, r=3.6),
    ]
    return element(
        "span",
        number(measured.value),
        element(
            "svg", *drawn, class_="interval", viewBox=f"0 0 {WIDTH} {HEIGHT}", aria_hidden="true"
        ),
        element("small", f"{number(low)} to {number(high)}"),
        class_="measured",
    )
