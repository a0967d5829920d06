"""Bootstrap intervals, on losses whose interval is known."""

import math

import numpy as np
import pytest

from metaopt.comparison import compare, mean_interval

RANDOM = np.random.RandomState(0)
BASELINE = RANDOM.lognormal(size=16).astype(np.float32)


def test_a_constant_ratio_has_no_width():
    found = compare(0.5 * BASELINE, BASELINE)
    assert found.ratio == pytest.approx(0.5)
    assert found.ratio_interval == pytest.approx((0.5, 0.5))
    assert found.difference == pytest.approx(-0.5 * float(np.mean(BASELINE)))
    assert found.excludes_parity


def test_a_constant_difference_has_no_width_however_much_seeds_differ():
    found = compare(BASELINE + np.float32(0.125), BASELINE)
    assert found.difference_interval == pytest.approx((0.125, 0.125), abs=1e-6)
    assert found.excludes_parity
    assert found.ratio_interval[0] > 1


def test_symmetric_noise_contains_parity():
    noise = np.repeat([0.1, -0.1], 8)
    found = compare(BASELINE + noise, BASELINE)
    low, high = found.difference_interval
    assert low < 0 < high
    assert low == pytest.approx(-high, abs=0.01)
    assert found.ratio_interval[0] < 1 < found.ratio_interval[1]
    assert not found.excludes_parity


def test_the_interval_of_a_mean_is_two_standard_errors_wide():
    losses = np.random.RandomState(1).normal(3.0, 2.0, size=400)
    error = np.std(losses) / np.sqrt(400)
    low, high = mean_interval(losses)
    # A 2.5 % quantile of 10,000 draws has a standard error of 0.027 standard deviations.
    assert low == pytest.approx(np.mean(losses) - 1.96 * error, abs=0.12 * error)
    assert high == pytest.approx(np.mean(losses) + 1.96 * error, abs=0.12 * error)


def test_intervals_are_the_same_every_time():
    assert mean_interval(BASELINE) == mean_interval(BASELINE)


@pytest.mark.parametrize("loss", [np.inf, np.nan])
def test_a_loss_that_is_not_finite_is_infinite(loss):
    ours = np.where(np.arange(16) == 3, loss, 0.5 * BASELINE)
    found = compare(ours, BASELINE)
    assert found.ratio == found.difference == np.inf
    assert found.ratio_interval[1] == found.difference_interval[1] == np.inf
    assert not found.excludes_parity
    assert mean_interval(ours)[1] == np.inf
    assert math.isfinite(mean_interval(ours)[0])


def test_where_both_diverge_nothing_is_said():
    both = np.full(4, np.inf)
    assert not compare(both, both).excludes_parity
