"""Time axes and budgets, and counts of failures."""

import numpy as np
import pytest

from metaopt.protocols import divergence, resources
from metaopt.protocols.divergence import Failures

CURVES = np.asarray([[4.0, 3.0, 2.0, 1.0], [4.0, np.nan, 2.0, np.nan]])
STEPS = np.asarray([0, 10, 20, 30])


def test_seconds():
    assert resources.seconds(STEPS, 2.5).tolist() == pytest.approx([0.0, 0.025, 0.05, 0.075])


@pytest.mark.parametrize(
    "budget, losses",
    [
        (0.075, [1.0, np.inf]),
        (9.0, [1.0, np.inf]),
        (0.06, [2.0, 2.0]),
        (0.05, [2.0, 2.0]),
        (0.049, [3.0, np.inf]),
        (-1.0, [np.inf, np.inf]),
    ],
)
def test_losses_within_a_budget_of_time(budget, losses):
    assert resources.losses_at(CURVES, resources.seconds(STEPS, 2.5), budget).tolist() == losses


def test_every_run_that_went_wrong_is_counted_once():
    final = np.asarray([0.5, np.nan, 3.0, np.inf, 0.1, 2.0])
    test = np.asarray([np.nan, 1.0, 1.0, np.inf, 1.0, 1.0])
    assert divergence.count(final, 2.0) == Failures(6, 2, 1)
    assert divergence.count(final, 2.0, test) == Failures(6, 3, 1)
    assert divergence.total([Failures(6, 3, 1), Failures(4, 0, 2)]) == Failures(10, 3, 3)
    assert divergence.total([]) == Failures(0, 0, 0)
