"""Normalised losses against the formula in plain Python."""

import math

import numpy as np
import pytest

from metaopt.protocols import normalized_loss
from taskset.errors import InputError

LOSSES = np.random.RandomState(0).uniform(-1.0, 4.0, size=(3, 5, 7))
LOSSES[0, 1, 2], LOSSES[1, 0, 0], LOSSES[2, 4, 6] = np.nan, np.inf, -np.inf
INITIAL, BEST = 2.5, -0.25


def plain(loss: float, cap: float) -> float:
    return min((loss - BEST) / (INITIAL - BEST), cap) if math.isfinite(loss) else cap


@pytest.mark.parametrize("name, cap", [("metz_2020", math.inf), ("taskset", 1.0)])
def test_is_the_formula(name, cap):
    found = getattr(normalized_loss, name)(LOSSES, INITIAL, BEST)
    expected = [plain(loss, cap) for loss in LOSSES.flat]
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-9, atol=1e-9)


def test_the_trajectory_cost_is_the_mean_over_the_curve():
    found = normalized_loss.trajectory_cost(LOSSES, INITIAL, BEST)
    expected = [[sum(plain(x, 1.0) for x in run) / 7 for run in task] for task in LOSSES]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_initial_is_one_and_best_is_zero():
    assert normalized_loss.taskset(np.asarray([2.5, -0.25, 9.0]), 2.5, -0.25).tolist() == [1, 0, 1]
    assert normalized_loss.metz_2020(np.asarray([5.25]), 2.5, -0.25) == 2.0


def test_one_failure_decides_the_mean_over_tasks_and_not_the_median():
    normalized = np.asarray([[0.1, 0.3], [0.2, 0.2], [0.2, np.inf]])
    assert normalized_loss.over_tasks(normalized) == (np.inf, pytest.approx(0.2))
    assert normalized_loss.over_tasks(normalized[:2]) == pytest.approx((0.2, 0.2))


@pytest.mark.parametrize("initial, best", [(1.0, 1.0), (1.0, 2.0), (np.inf, 0.0), (1.0, np.nan)])
def test_refuses_what_gives_no_scale(initial, best):
    with pytest.raises(InputError, match="no scale"):
        normalized_loss.taskset(LOSSES, initial, best)
