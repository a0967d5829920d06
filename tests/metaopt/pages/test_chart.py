"""Charts: what is drawn lies where it should, and is told to those who cannot see it."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from metaopt.pages import chart
from metaopt.pages.chart import Axes, Bar, Series
from metaopt.pages.scales import Scale

X = np.asarray([0.0, 5.0, 10.0])
AXES = Axes("step", "loss", Scale("linear", 0.0, 10.0), Scale("log", 0.01, 1.0), vertical=5.0)
LEFT, RIGHT = chart.LEFT, chart.WIDTH - chart.RIGHT
TOP, BOTTOM = chart.TOP, chart.HEIGHT - chart.BOTTOM


def parts(drawn: str, name: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(drawn).iter() if name in e.get("class", "").split()]


def coordinates(path: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, point.split())) for point in re.split("[ML]", path.rstrip("Z"))[1:]]


def test_a_line_is_where_its_values_are():
    (line,) = parts(
        chart.lines("told", AXES, [Series("a", 0, X, np.asarray([1, 0.1, 0.01]))]), "line"
    )
    middle = ((LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2)
    assert coordinates(line.get("d", "")) == [(LEFT, TOP), pytest.approx(middle), (RIGHT, BOTTOM)]


def test_a_gap_where_a_loss_is_not_finite():
    series = Series(
        "a", 1, X, np.asarray([1.0, np.nan, 0.1]), X * 0 + 0.1, np.asarray([1, np.inf, 1])
    )
    drawn = chart.lines("told", AXES, [series])
    assert parts(drawn, "line")[0].get("d", "").count("M") == 2
    band = coordinates(parts(drawn, "band")[0].get("d", ""))
    assert len(band) == 6
    assert band[1][1] == TOP  # without an upper end it reaches to the top


@pytest.mark.parametrize("y", [[np.nan] * 3, [np.inf] * 3])
def test_what_is_never_finite_is_not_drawn(y):
    series = Series("a", 0, X, np.asarray(y), np.asarray(y), np.asarray(y))
    for draw in (chart.lines, chart.points):
        drawn = draw("told", AXES, [series])
        assert not parts(drawn, "line")
        assert "nan" not in drawn.lower()


def test_bars_stand_on_one_another():
    axes = AXES._replace(y=Scale("linear", 0.0, 10.0))
    drawn = chart.bars("told", axes, [Bar(2, (0.0, 5.0), 4.0, 1.0), Bar(2, (5.0, 10.0), 0.0, 0.0)])
    solid, pale = parts(drawn, "bar")
    height = BOTTOM - TOP
    assert float(solid.get("height", "")) == pytest.approx(0.4 * height)
    assert float(pale.get("height", "")) == pytest.approx(0.1 * height, rel=1e-4)
    assert float(pale.get("y", "")) == pytest.approx(BOTTOM - 0.5 * height)


def test_a_chart_says_what_it_shows():
    root = ElementTree.fromstring(chart.lines('Adam "1" < 2', AXES, []))
    assert (root.get("role"), root.get("aria-label")) == ("img", 'Adam "1" < 2')
    texts = {e.text for e in root.iter("text")}
    assert {"step", "loss", "0.01", "0.1", "1", "10"} <= texts


def test_no_two_styles_look_alike_and_only_the_first_has_the_first_colour():
    styles = [chart.style_class(i) for i in range(50)]
    assert len(set(styles)) == 50
    assert [i for i in range(50) if chart.color_class(i) == "c0"] == [0]
