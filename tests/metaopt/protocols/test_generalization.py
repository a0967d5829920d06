"""Scores by scale, and what wrong announcements cost."""

import numpy as np
import pytest

from metaopt.protocols import generalization, wrong_horizon

RANDOM = np.random.RandomState(0)
SCORES = RANDOM.uniform(size=(6, 9))
SCALES = [4.0, 1.0, 2.0, 1.0, 4.0, 4.0]


def plain_iqm(values) -> float:
    ordered = sorted(np.asarray(values).ravel().tolist())
    cut = len(ordered) // 4
    return sum(ordered[cut : len(ordered) - cut]) / (len(ordered) - 2 * cut)


def test_scores_by_scale():
    found = generalization.by_scale(SCORES, SCALES, num_resamples=200)
    assert [(point.scale, point.num_tasks) for point in found] == [(1, 2), (2, 1), (4, 3)]
    for point, rows in zip(found, ([1, 3], [2], [0, 4, 5])):
        assert point.score.value == pytest.approx(plain_iqm(SCORES[rows]), abs=1e-9)
        low, high = point.score.interval
        assert low < point.score.value < high


def test_the_gap_is_the_difference_of_scores():
    found = generalization.gap(SCORES[:2], SCORES[2:] - 1, num_resamples=200)
    expected = plain_iqm(SCORES[:2]) - plain_iqm(SCORES[2:] - 1)
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.interval[0] < expected < found.interval[1]


def test_excess_is_paired():
    found = wrong_horizon.excess(SCORES + 0.125, SCORES, 2.0, num_resamples=200)
    assert (found.announced, found.num_tasks) == (2.0, 6)
    assert found.loss.value == pytest.approx(0.125)
    assert found.loss.interval == pytest.approx((0.125, 0.125))
    noise = RANDOM.normal(size=SCORES.shape)
    noisy = wrong_horizon.excess(SCORES + noise, SCORES, 0.5, num_resamples=200)
    assert noisy.loss.value == pytest.approx(plain_iqm(noise), abs=1e-9)


def test_sensitivity_is_the_worst_of_the_wrong_announcements():
    at = lambda extra: wrong_horizon.excess(SCORES + extra, SCORES, 2.0, num_resamples=10)
    assert wrong_horizon.sensitivity([at(0.1), at(0.3), at(-0.5)]) == pytest.approx(0.3)
    assert wrong_horizon.sensitivity([at(-0.5)]) == 0.0
