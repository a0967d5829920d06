"""Tuning Adam: every run is in the grid, and the grid reaches beyond the best rate."""

import numpy as np
import optax
import pytest
from evaluations import plain_run

from metaopt import held_out
from metaopt.baselines import grid
from metaopt.baselines.grid import Grid, mean_loss, tune_adam
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily

pytestmark = pytest.mark.usefixtures("standard_promotion")

FAMILY, NUM_STEPS = QuadraticFamily(dim=3), 6
SEEDS = (0, 1)


def tuned(rates, schedule="constant") -> Grid:
    keys = held_out.evaluation_keys("report", SEEDS)
    return tune_adam(FAMILY, FAMILY.load_data(), keys, NUM_STEPS, schedule, rates)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_row_is_a_plain_run_of_optax(schedule):
    found = tuned((0.1, 0.3, 0.9), schedule)
    key = held_out.evaluation_key("report", SEEDS[1])
    rate = 0.3 if schedule == "constant" else optax.cosine_decay_schedule(0.3, NUM_STEPS)
    losses, task, params = plain_run(FAMILY, optax.adam(rate), key, NUM_STEPS)
    row = int(np.flatnonzero(found.rates == np.float32(0.3))[0])
    np.testing.assert_allclose(found.curves[row, 1], losses, rtol=1e-4)
    end = task.loss(params, None, key)
    np.testing.assert_allclose(found.final_train_loss[row, 1], end, rtol=1e-3)


@pytest.mark.parametrize("rates", [(1e-3, 3e-3), (30.0, 90.0)])
def test_a_grid_beside_the_optimum_is_extended_until_it_brackets_it(rates):
    found = tuned(rates)
    assert found.brackets
    assert np.float32(rates[0]) in found.rates
    np.testing.assert_allclose(found.rates[1:] / found.rates[:-1], 3.0, rtol=1e-5)
    assert len(found.rates) % grid.RATES_AT_ONCE == 2
    losses = found.means("final_train_loss")
    assert losses[found.best] < min(losses[0], losses[-1])
    assert found.num_runs == len(found.rates) * len(SEEDS)
    assert found.curves.shape == (len(found.rates), len(SEEDS), NUM_STEPS)


def test_a_grid_that_brackets_stays_as_it_is():
    rates = (1e-3, 0.3, 100.0)
    np.testing.assert_array_equal(tuned(rates).rates, np.float32(rates))


def test_a_grid_without_an_optimum_ends_and_says_so():
    found = tuned((1e-12, 2e-12))  # changes no parameter by a single bit
    assert not found.brackets
    assert len(found.rates) == 2 + grid.MAX_EXTENSIONS * grid.RATES_AT_ONCE


@pytest.mark.parametrize(
    "rates",
    [(), (0.1,), (0.0, 0.1), (-1.0, 1.0), (0.2, 0.1), (0.1, 0.1), (0.1, np.nan), (0.1, np.inf)],
)
def test_bad_rates_are_refused(rates):
    with pytest.raises(InputError, match="two or more, positive, ascending"):
        tuned(rates)


def test_a_diverged_run_makes_the_mean_infinite():
    losses = np.asarray([[1.0, 3.0], [0.1, np.nan], [0.1, -np.inf]])
    np.testing.assert_array_equal(mean_loss(losses), [2.0, np.inf, np.inf])
    curves = np.ones((3, 2, 4))
    assert Grid("constant", np.asarray([1.0, 2.0, 3.0]), curves, losses, losses).best == 0
