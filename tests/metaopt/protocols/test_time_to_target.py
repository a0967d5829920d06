"""Times to a target, by a plain loop."""

import math

import numpy as np
import pytest

from metaopt.protocols import time_to_target

CURVES = np.random.RandomState(0).uniform(0.0, 2.0, size=(4, 6, 30)) * np.linspace(2, 0.4, 30)
CURVES[1, 2, 5:] = np.nan
AXIS = 0.25 * np.arange(30)


@pytest.mark.parametrize("target", [1.5, 0.2, 0.01, -1.0])
def test_is_the_first_point_at_or_below_the_target(target):
    plain = [
        [next((t for t, loss in zip(AXIS, run) if loss <= target), math.inf) for run in task]
        for task in CURVES
    ]
    found = time_to_target.first_times(CURVES, AXIS, target)
    np.testing.assert_allclose(found, plain, rtol=1e-9)
    medians = time_to_target.over_runs(found)
    for ours, times in zip(medians, plain):
        middle = sorted(times)[2:4]
        assert ours == pytest.approx(sum(middle) / 2)


def test_a_point_on_the_target_counts():
    assert time_to_target.first_times(np.asarray([3.0, 2.0, 1.0]), np.arange(3.0), 2.0) == 1.0


def test_the_target_is_a_share_of_the_way_above_the_best():
    assert time_to_target.target(3.0, 1.0) == 1.0
    assert time_to_target.target(3.0, 1.0, 0.25) == 1.5


@pytest.mark.parametrize("arrived, median", [(2, math.inf), (3, 7.0)])
def test_more_than_half_of_the_runs_must_arrive(arrived, median):
    times = np.where(np.arange(5) < arrived, 7.0, np.inf)
    assert time_to_target.over_runs(times) == median
