"""Ratios, profiles and scores: by hand, and by the area under the steps of the profile."""

import math
from itertools import pairwise

import numpy as np
import pytest

from metaopt.protocols import performance_profile

TIMES = np.random.RandomState(0).uniform(1.0, 6.0, size=(3, 40))
TIMES[0, :5], TIMES[1, 3:8], TIMES[2, 3:5] = np.inf, np.inf, np.inf


def plain_ratios() -> list[list[float]]:
    table = []
    for times in TIMES:
        fastest = [min(column) for column in TIMES.T]
        table.append([t / f if t < math.inf else math.inf for t, f in zip(times, fastest)])
    return table


def test_ratios_are_over_the_fastest_of_each_task():
    found = performance_profile.ratios(TIMES)
    np.testing.assert_allclose(found, plain_ratios(), rtol=1e-9)
    assert np.all(np.isinf(found[:, 3:5]))  # nobody arrives
    assert np.all(np.min(found, axis=0)[5:] == 1)


def test_the_profile_is_the_share_of_tasks_within_a_factor():
    factors = np.linspace(1, 5, 17)
    found = performance_profile.profile(performance_profile.ratios(TIMES), factors)
    plain = [[sum(r <= f for r in row) / 40 for f in factors] for row in plain_ratios()]
    np.testing.assert_allclose(found, plain, rtol=1e-9)


def test_the_score_is_the_area_under_the_profile():
    for row, found in zip(
        plain_ratios(), performance_profile.score(performance_profile.ratios(TIMES))
    ):
        # The profile is constant between the ratios at which it steps.
        edges = [1.0, *sorted(r for r in row if 1 < r < 4), 4.0]
        height = lambda factor: sum(r <= factor for r in row) / 40
        area = sum((b - a) * height(a) for a, b in pairwise(edges))
        assert found == pytest.approx(area / 3, rel=1e-9)


def test_one_optimizer_that_always_wins_has_score_1():
    times = np.asarray([[1.0, 2.0], [4.0, 8.0], [math.inf, 4.0]])
    ratios = performance_profile.ratios(times)
    assert performance_profile.score(ratios).tolist() == pytest.approx([1.0, 0.0, 1 / 3])
    means = performance_profile.geometric_mean_ratio(ratios)
    assert means.tolist() == pytest.approx([1.0, 4.0, math.inf])


def test_a_target_that_is_met_at_the_start_is_a_tie():
    assert performance_profile.ratios(np.asarray([[0.0], [0.0], [2.0]])).tolist() == [
        [1.0],
        [1.0],
        [math.inf],
    ]
