"""Aggregates by plain loops, and against numbers that the package rliable gave."""

import math
from itertools import product

import numpy as np
import pytest

from metaopt.bootstrap import stratified
from metaopt.protocols.robust_aggregates import (
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
)

INDEX = np.arange(30).reshape(6, 5)
SCORES = (INDEX * 7919 % 101) / 101
SCORES[1, 2] = 1.7
OTHERS = ((INDEX * 104729 + 13) % 97) / 97 * 0.9

# Of rliable 1.2.0, on SCORES and OTHERS as [runs, tasks]; intervals of 20,000 resamples.
IQM, IQM_OF_OTHERS, IQM_INTERVAL = 0.489480198019802, 0.45, (0.34715, 0.63181)
GAP, GAP_INTERVAL = 0.5085808580858087, (0.40429, 0.61482)
IMPROVEMENT, IMPROVEMENT_INTERVAL = 0.5533333333333333, (0.4, 0.7)


def test_agrees_with_rliable():
    assert interquartile_mean(SCORES) == pytest.approx(IQM, abs=1e-9)
    assert interquartile_mean(OTHERS) == pytest.approx(IQM_OF_OTHERS, abs=1e-9)
    assert optimality_gap(SCORES) == pytest.approx(GAP, abs=1e-9)
    assert probability_of_improvement(SCORES, OTHERS) == pytest.approx(IMPROVEMENT, abs=1e-9)


@pytest.mark.parametrize(
    "statistic, scores, interval",
    [
        (interquartile_mean, (SCORES,), IQM_INTERVAL),
        (optimality_gap, (SCORES,), GAP_INTERVAL),
        (probability_of_improvement, (SCORES, OTHERS), IMPROVEMENT_INTERVAL),
    ],
)
def test_intervals_agree_with_rliable(statistic, scores, interval):
    found = stratified(statistic, *scores, expanded=False).interval
    # The error of a 2.5 % quantile of 10,000 and 20,000 draws is .033 of their deviation, which is
    # a quarter of the width; five of these.
    assert found == pytest.approx(interval, abs=0.04 * (interval[1] - interval[0]))


def plain_iqm(task_scores) -> float:
    ordered = sorted(float(x) for task in task_scores for x in task)
    cut = len(ordered) // 4
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 3), (4, 4), (7, 5)])
def test_is_what_plain_loops_give(shape):
    random = np.random.RandomState(sum(shape))
    ours, theirs = random.normal(size=(2, *shape)).round(1)
    assert interquartile_mean(ours) == pytest.approx(plain_iqm(ours), abs=1e-9)
    gap = sum(max(0.5 - x, 0) for x in ours.flat) / ours.size
    assert optimality_gap(ours, 0.5) == pytest.approx(gap, abs=1e-9)
    wins = [
        sum((x > y) + (x == y) / 2 for x, y in product(a, b)) / shape[1] ** 2
        for a, b in zip(ours, theirs)
    ]
    found = probability_of_improvement(ours, theirs)
    assert found == pytest.approx(sum(wins) / shape[0], abs=1e-9)
    assert probability_of_improvement(theirs, ours) == pytest.approx(1 - found, abs=1e-9)


def test_leading_axes_are_kept():
    stacked = np.stack([SCORES, OTHERS])
    assert interquartile_mean(stacked) == pytest.approx([IQM, IQM_OF_OTHERS])
    assert optimality_gap(stacked)[0] == pytest.approx(GAP)
    assert probability_of_improvement(stacked, stacked).tolist() == [0.5, 0.5]


def test_a_quarter_of_failures_does_not_touch_the_interquartile_mean():
    scores = np.where(np.arange(8).reshape(2, 4) < 2, -np.inf, 1.0)
    assert interquartile_mean(scores) == 1.0
    assert interquartile_mean(np.where(np.arange(8).reshape(2, 4) < 3, -np.inf, 1.0)) == -np.inf


def test_runs_may_differ_in_number():
    assert probability_of_improvement(np.asarray([[2.0, 0.0]]), np.asarray([[1.0]])) == 0.5
    assert math.isclose(probability_of_improvement(SCORES, SCORES[:, :2] - 9), 1.0)
