"""Axes: what lies where, and round ticks between the ends; and how numbers are written."""

import math

import numpy as np
import pytest

from metaopt.pages import numbers, scales
from metaopt.pages.scales import Scale


@pytest.mark.parametrize(
    "scale, values, places",
    [
        (Scale("linear", 2.0, 6.0), [2, 3, 6, 0, 9], [0, 0.25, 1, 0, 1]),
        (Scale("log", 0.1, 10.0), [0.1, 1, 10, 0.001, -1, 0], [0, 0.5, 1, 0, 0, 0]),
        (Scale("log", 0.1, 10.0), [math.inf], [1]),
    ],
)
def test_places(scale, values, places):
    np.testing.assert_allclose(scale.place(np.asarray(values)), places, atol=1e-12)


def test_a_value_that_is_missing_has_no_place():
    assert np.isnan(Scale("linear", 0.0, 1.0).place(np.asarray([np.nan])))[0]


@pytest.mark.parametrize(
    "scale, ticks",
    [
        (Scale("linear", 0.0, 1.0), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (Scale("linear", -3.0, 1999.0), [0, 500, 1000, 1500]),
        (Scale("linear", 1e-6, 3e-6), [1e-6, 1.5e-6, 2e-6, 2.5e-6, 3e-6]),
        (Scale("log", 0.09, 3.0), [0.1, 0.2, 0.5, 1, 2]),
        (Scale("log", 0.9e-6, 1.1e3), [1e-6, 1e-4, 1e-2, 1, 100]),
        (Scale("log", 1.0, 1.5), [1, 1.1, 1.2, 1.3, 1.4, 1.5]),
    ],
)
def test_ticks_are_round_and_inside(scale, ticks):
    assert scale.ticks() == pytest.approx(ticks, rel=1e-9)


@pytest.mark.parametrize(
    "values", [[1.0, 5.0], [3.0], [0.0], [-2.0, 7.0], [1e-12, 1e9], [np.nan, np.inf], []]
)
@pytest.mark.parametrize("kind", ["linear", "log"])
def test_a_scale_fits_around_whatever_there_is(values, kind):
    scale = scales.around(np.asarray(values, np.float64), kind)
    finite = [v for v in values if math.isfinite(v)]
    assert scale.low < min(finite, default=0.5) <= max(finite, default=0.5) < scale.high
    assert scale.kind == kind or not finite or min(finite) <= 0
    assert 1 <= len(scale.ticks()) < 14


@pytest.mark.parametrize(
    "value, written",
    [
        (0.5, "0.500"), (0.04999, "0.0500"), (1234.6, "1,235"), (12, "12"), (7.0, "7"),
        (-0.25, "\u22120.250"), (1.5e-7, "1.50e\u22127"), (math.nan, "\u2013"), (None, "\u2013"),
        (math.inf, "\u221e"), (-math.inf, "\u2212\u221e"), (0.0, "0"), (0.99951, "1.00"),
    ],
)  # fmt: skip
def test_numbers_have_three_digits(value, written):
    assert numbers.number(value) == written


def test_ticks_have_no_zeros_at_the_end():
    found = [numbers.tick(x) for x in (0.5, 1500.0, 1e-6, 1e6, -2.0)]
    assert found == ["0.5", "1,500", "1e\u22126", "1e6", "\u22122"]
    assert (numbers.percent(0.714), numbers.percent(math.nan)) == ("71 %", "\u2013")
    assert (numbers.counted(1, "run"), numbers.counted(2000, "run")) == ("1 run", "2,000 runs")
