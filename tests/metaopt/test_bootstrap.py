"""Bootstrap intervals: how often they hold what they are of, and that no task is drawn away."""

import math

import numpy as np
import pytest

from metaopt.bootstrap import CONFIDENCE, Measured, expanded_confidence, stratified
from metaopt.protocols.robust_aggregates import interquartile_mean

NUM_RESAMPLES = 1000
SCORES = np.random.RandomState(0).normal(size=(5, 12)) + np.arange(5.0)[:, None]


def mean(scores):
    return np.mean(scores, axis=(-2, -1))


def covered(statistic, *, repetitions: int, num_runs: int, expanded: bool = True) -> float:
    """The share of intervals that hold 0, around which 8 tasks are in symmetry."""
    random = np.random.default_rng(3)
    draws = np.linspace(-1, 1, 8)[:, None] + random.normal(size=(repetitions, 8, num_runs))
    interval = lambda draw: (
        stratified(statistic, draw, num_resamples=NUM_RESAMPLES, expanded=expanded).interval
    )
    return float(np.mean([low <= 0 <= high for low, high in map(interval, draws)]))


@pytest.mark.parametrize("num_runs", [3, 5, 8, 16])
@pytest.mark.parametrize("statistic", [mean, interquartile_mean])
def test_intervals_hold_the_truth_as_often_as_they_say(statistic, num_runs):
    # The standard error of the share is sqrt(.05 * .95 / 1600) = .0055, well within the .02 that is
    # asked.
    share = covered(statistic, repetitions=1600, num_runs=num_runs)
    assert share == pytest.approx(CONFIDENCE, abs=0.02)


def test_plain_percentiles_of_few_runs_do_not():
    # .87 by more than five standard errors, .0084.
    assert covered(interquartile_mean, repetitions=1600, num_runs=3, expanded=False) < 0.91


def test_the_expansion_is_that_of_the_t_distribution():
    # 3 runs: 2 degrees of freedom, whose 97.5 % quantile is 4.3027, times sqrt(3 / 2).
    assert expanded_confidence(3, 1) == pytest.approx(math.erf(4.30265 * 1.5**0.5 / 2**0.5))
    assert expanded_confidence(8 * 5, 8) == pytest.approx(math.erf(2.03693 * 1.25**0.5 / 2**0.5))
    assert expanded_confidence(10**6, 1) == pytest.approx(CONFIDENCE, abs=1e-6)


def test_one_run_of_a_task_has_no_width():
    found = stratified(mean, SCORES[:, :1])
    assert found.interval == (found.value, found.value)


def test_tasks_stay_what_they_are():
    # Without noise within tasks the interval has no width, however much tasks differ.
    constant = np.repeat(np.arange(4.0)[:, None], 3, axis=1)
    assert stratified(mean, constant) == Measured(1.5, (1.5, 1.5))


def test_the_interval_is_that_of_resampled_runs_within_each_task():
    found = stratified(mean, SCORES)
    # The textbook's, with the 97.5 % quantile of t of 55 degrees of freedom.
    error = np.sqrt(np.sum(np.var(SCORES, axis=1, ddof=1) / 12)) / 5
    assert found.value == pytest.approx(np.mean(SCORES), abs=1e-12)
    assert found.interval[0] == pytest.approx(found.value - 2.004 * error, abs=0.12 * error)
    assert found.interval[1] == pytest.approx(found.value + 2.004 * error, abs=0.12 * error)


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
