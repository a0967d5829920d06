"""Bootstrap intervals: how often they hold what they are of, and that no task is drawn away."""

import numpy as np
import pytest

from metaopt.bootstrap import CONFIDENCE, Measured, stratified
from metaopt.protocols.robust_aggregates import interquartile_mean

SCORES = np.random.RandomState(0).normal(size=(5, 12)) + np.arange(5.0)[:, None]


def mean(scores):
    return np.mean(scores, axis=(-2, -1))


def covered(statistic, truth: float, *, repetitions: int, num_runs: int = 16) -> float:
    random = np.random.default_rng(3)
    draws = np.linspace(-1, 1, 8)[:, None] + random.normal(size=(repetitions, 8, num_runs))
    intervals = [stratified(statistic, draw, num_resamples=300).interval for draw in draws]
    return float(np.mean([low <= truth <= high for low, high in intervals]))


@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
def test_intervals_hold_the_truth_as_often_as_they_say(statistic):
    # By symmetry both are 0 for noise around the offsets -1 to 1. The standard error of the share
    # is sqrt(.05 * .95 / 1600) = .0055, well within the .02 that is asked.
    assert covered(statistic, 0.0, repetitions=1600) == pytest.approx(CONFIDENCE, abs=0.02)


def test_tasks_stay_what_they_are():
    # Without noise within tasks the interval has no width, however much tasks differ.
    constant = np.repeat(np.arange(4.0)[:, None], 3, axis=1)
    assert stratified(mean, constant) == Measured(1.5, (1.5, 1.5))


def test_the_interval_is_that_of_resampled_runs_within_each_task():
    found = stratified(mean, SCORES)
    # The variance of the mean of resampled runs is that of the runs over their number.
    error = np.sqrt(np.sum(np.var(SCORES, axis=1) / 12)) / 5
    assert found.value == pytest.approx(np.mean(SCORES), abs=1e-12)
    assert found.interval[0] == pytest.approx(found.value - 1.96 * error, abs=0.12 * error)
    assert found.interval[1] == pytest.approx(found.value + 1.96 * error, abs=0.12 * error)


def test_paired_resamples_are_the_same_runs():
    difference = lambda ours, theirs: mean(ours) - mean(theirs)
    shifted = SCORES + 0.25
    assert stratified(difference, shifted, SCORES, paired=True).interval == pytest.approx(
        (0.25, 0.25)
    )
    low, high = stratified(difference, shifted, SCORES).interval
    assert low < 0.2
    assert high > 0.3


def test_intervals_do_not_depend_on_how_many_resamples_fit_at_once(monkeypatch):
    monkeypatch.setattr("metaopt.bootstrap.ELEMENTS_AT_ONCE", 7 * SCORES.size)
    first = stratified(mean, SCORES, num_resamples=100)
    monkeypatch.setattr("metaopt.bootstrap.ELEMENTS_AT_ONCE", SCORES.size)
    assert stratified(mean, SCORES, num_resamples=100) == first


def test_infinite_runs_make_the_interval_infinite_not_undefined():
    scores = np.where(np.arange(12) == 0, -np.inf, SCORES)
    found = stratified(mean, scores)
    assert found.value == found.interval[0] == -np.inf
    assert not np.isnan(found.interval[1])
