"""Charts as SVG: lines with bands, steps, points with intervals, and bars.

A chart is as wide as a phone. Its colours, dashes and fonts are those of the classes of the style
sheet, so that one chart does in light, in dark and in print.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from metaopt.pages.html import Html, element, join
from metaopt.pages.numbers import tick
from metaopt.pages.scales import Scale

WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 42, 12, 22, 36
NUM_COLORS, NUM_DASHES = 8, 8  # in the style sheet; the first colour is that of style 0 alone


class Series(NamedTuple):
    """One line of a chart."""

    name: str
    style: int  # index of its colour and dash; 0 is emphasised
    x: np.ndarray  # [num_points]
    y: np.ndarray  # [num_points]; no line where it is not finite
    low: np.ndarray | None = None  # [num_points] ends of the band or of the intervals
    high: np.ndarray | None = None


class Axes(NamedTuple):
    """What is around the lines."""

    x_label: str
    y_label: str
    x: Scale
    y: Scale
    x_ticks: Sequence[float] | None = None
    x_text: Callable[[float], str] = tick
    y_text: Callable[[float], str] = tick
    vertical: float | None = None  # reference lines
    horizontal: float | None = None


class Bar(NamedTuple):
    """A bar of a histogram, in two parts."""

    style: int
    x: tuple[float, float]
    solid: float
    pale: float


def style_class(style: int) -> str:
    """The classes of a line: a colour and a dash, a pairing that no other of 50 styles has."""
    turn = (style - 1) // (NUM_COLORS - 1) if style else 0
    return f"{color_class(style)} d{(style + 2 * turn) % NUM_DASHES}"


def color_class(style: int) -> str:
    """The class of the colour alone."""
    return f"c{1 + (style - 1) % (NUM_COLORS - 1) if style else 0}"


def lines(description: str, axes: Axes, series: Sequence[Series]) -> Html:
    """Lines with bands where they have any; what comes first is drawn last, on top."""
    drawn = [part for one in reversed(series) for part in (_band(axes, one), _line(axes, one))]
    return _svg(description, axes, drawn)


def points(description: str, axes: Axes, series: Sequence[Series]) -> Html:
    """Lines through points with intervals, a little apart where there are several."""
    drawn = []
    for i, one in enumerate(series):
        shift = 5.0 * (i - (len(series) - 1) / 2)
        drawn += [_line(axes, one, shift), *_intervals(axes, one, shift)]
    return _svg(description, axes, list(reversed(drawn)))


def bars(description: str, axes: Axes, bars: Sequence[Bar]) -> Html:
    """Bars from 0; a pale part with a broken edge stands on the solid one."""
    return _svg(description, axes, [part for bar in bars for part in _bar(axes, bar)])


def swatch(style: int) -> Html:
    """A short piece of a line, for a legend."""
    line = element("line", class_=f"line {style_class(style)}", x1=1, x2=33, y1=6, y2=6)
    return element("svg", line, class_="swatch", viewBox="0 0 34 12", aria_hidden="true")


def _svg(description: str, axes: Axes, drawn: Sequence[Html | None]) -> Html:
    return element(
        "svg",
        _frame(axes),
        *drawn,
        *_references(axes),
        class_="chart",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=description,
    )


def _across(axes: Axes, x: np.ndarray) -> np.ndarray:
    return LEFT + (WIDTH - LEFT - RIGHT) * axes.x.place(x)


def _up(axes: Axes, y: np.ndarray) -> np.ndarray:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * axes.y.place(y)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """The command that draws a line, in tenths; a gap where a coordinate is NaN."""
    parts, pen_up = [], True
    for across, up in zip(np.round(x, 1).tolist(), np.round(y, 1).tolist(), strict=True):
        if np.isnan(up) or np.isnan(across):
            pen_up = True
            continue
        parts.append(f"{'M' if pen_up else 'L'}{across:g} {up:g}")
        pen_up = False
    return "".join(parts)


def _line(axes: Axes, one: Series, shift: float = 0.0) -> Html | None:
    finite = np.isfinite(one.y)
    if not np.any(finite):
        return None
    path = _path(_across(axes, one.x) + shift, np.where(finite, _up(axes, one.y), np.nan))
    emphasis = " first" if one.style == 0 else ""
    return element("path", class_=f"line {style_class(one.style)}{emphasis}", d=path)


def _band(axes: Axes, one: Series) -> Html | None:
    """The band; where its upper end is infinite it reaches to the top."""
    if one.low is None or one.high is None:
        return None
    inside = np.isfinite(one.low)
    if np.count_nonzero(inside) < 2:
        return None
    x = _across(axes, one.x)[inside]
    low, high = _up(axes, one.low)[inside], _up(axes, one.high)[inside]
    path = _path(np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]]))
    return element("path", class_=f"band {color_class(one.style)}", d=f"{path}Z")


def _intervals(axes: Axes, one: Series, shift: float) -> list[Html]:
    finite = np.isfinite(one.y)
    x, y = _across(axes, one.x)[finite] + shift, _up(axes, one.y)[finite]
    color = color_class(one.style)
    drawn = [
        element(
            "circle",
            class_=f"point {color}",
            cx=float(a),
            cy=float(b),
            r=3.4 if one.style == 0 else 2.6,
        )
        for a, b in zip(x, y, strict=True)
    ]
    if one.low is not None and one.high is not None:
        ends = zip(x, _up(axes, one.low)[finite], _up(axes, one.high)[finite], strict=True)
        drawn += [
            element(
                "path", class_=f"whisker {color}", d=_path(np.asarray([a, a]), np.asarray([b, c]))
            )
            for a, b, c in ends
        ]
    return drawn


def _bar(axes: Axes, bar: Bar) -> list[Html]:
    left, right = _across(axes, np.asarray(bar.x))
    levels = _up(axes, np.cumsum([0.0, bar.solid, bar.pale]))
    return [
        element(
            "rect",
            class_=name,
            x=float(left) + 1,
            width=max(float(right - left) - 2, 1.0),
            y=float(above),
            height=float(below - above),
        )
        for name, below, above in zip(
            (f"bar {color_class(bar.style)}", f"bar pale {color_class(bar.style)}"),
            levels,
            levels[1:],
            strict=False,
        )
        if below > above
    ]


def _frame(axes: Axes) -> Html:
    """Grid, ticks and labels."""
    ticks = axes.x.ticks() if axes.x_ticks is None else list(axes.x_ticks)
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    drawn = []
    for value, up in _places(axes.y.ticks(), lambda y: _up(axes, y)):
        drawn.append(element("line", class_="grid", x1=LEFT, x2=right, y1=up, y2=up))
        text = axes.y_text(value)
        drawn.append(
            element("text", text, class_="tick", x=LEFT - 6, y=up + 3.6, text_anchor="end")
        )
    for value, across in _places(ticks, lambda x: _across(axes, x)):
        drawn.append(element("line", class_="mark", x1=across, x2=across, y1=bottom, y2=bottom + 4))
        drawn.append(
            element(
                "text",
                axes.x_text(value),
                class_="tick",
                x=across,
                y=bottom + 15,
                text_anchor="middle",
            )
        )
    drawn.append(element("line", class_="axis", x1=LEFT, x2=right, y1=bottom, y2=bottom))
    middle = (LEFT + right) / 2
    x_place = {"x": middle, "y": HEIGHT - 4, "text_anchor": "middle"}
    drawn.append(element("text", axes.x_label, class_="label", **x_place))
    drawn.append(element("text", axes.y_label, class_="label", x=0, y=10))
    return join(*drawn)


def _places(
    values: Sequence[float], place: Callable[[np.ndarray], np.ndarray]
) -> list[tuple[float, float]]:
    return [(value, round(float(place(np.asarray(value))), 1)) for value in values]


def _references(axes: Axes) -> list[Html]:
    drawn = []
    if axes.vertical is not None:
        x = float(_across(axes, np.asarray(axes.vertical)))
        drawn.append(element("line", class_="reference", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM))
    if axes.horizontal is not None:
        y = float(_up(axes, np.asarray(axes.horizontal)))
        drawn.append(element("line", class_="reference", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y))
    return drawn
