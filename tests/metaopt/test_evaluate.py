"""Evaluations: paired runs, and nothing left out."""

import jax.numpy as jnp
import numpy as np
import pytest
from evaluations import ADAM, made_up

from metaopt import update_cost
from metaopt.baselines.one_rate import Adam
from metaopt.evaluate import LEARNED, evaluate, final_losses
from metaopt.update_cost import UpdateCost
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily

pytestmark = pytest.mark.usefixtures("standard_promotion")

FAMILY, NUM_STEPS, SEEDS = QuadraticFamily(dim=3), 6, (5, 2)
RATES = (1e-3, 0.05, 0.3, 10.0, 100.0)


def of_adam(rate: float, rates=RATES):
    """The evaluation of a "learned optimizer" that is Adam at one rate."""
    setting = {"learning_rate": jnp.float32(rate)}
    return evaluate(FAMILY, Adam(), setting, num_steps=NUM_STEPS, seeds=SEEDS, rates=rates)


@pytest.fixture(scope="module", autouse=True)
def no_timing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(update_cost, "measure", lambda *_: UpdateCost(1.0, 8.0))
        yield


@pytest.fixture(scope="module")
def same(standard_promotion):
    return of_adam(0.3)


@pytest.fixture(scope="module")
def diverged(standard_promotion):
    return of_adam(np.nan)


def test_all_optimizers_have_the_same_runs(same):
    grid = same.grids[0]
    row = int(np.flatnonzero(grid.rates == np.float32(0.3))[0])
    np.testing.assert_allclose(same.learned.curves, grid.curves[row], rtol=1e-5)
    np.testing.assert_allclose(same.learned.test_loss, grid.test_loss[row], rtol=1e-4)
    for result in same.results:
        np.testing.assert_allclose(result.curves[:, 0], same.learned.curves[:, 0], rtol=1e-6)


def test_baselines_are_at_their_best_rate_and_pay_for_it(same):
    assert [result.name for result in same.results] == [LEARNED, "Adam", "Adam + cosine"]
    for baseline, grid in zip(same.baselines, same.grids, strict=True):
        assert baseline.learning_rate == pytest.approx(grid.rates[grid.best])
        assert baseline.mean("final_train_loss") == min(grid.means("final_train_loss"))
        assert baseline.tuning_runs == grid.rates.size * len(SEEDS) >= len(RATES) * len(SEEDS)
    assert (same.learned.learning_rate, same.learned.tuning_runs) == (None, 0)
    assert same.task == "QuadraticFamily(dim=3, condition=10.0)"


def test_a_diverged_run_is_counted_and_not_dropped(diverged):
    assert diverged.learned.diverged == len(SEEDS)
    assert diverged.learned.mean("final_train_loss") == np.inf
    assert diverged.learned.curves.shape == (len(SEEDS), NUM_STEPS)
    assert diverged.comparison.ratio == np.inf
    assert [x.diverged for x in diverged.baselines] == [0, 0]
    assert "2 of 2 runs diverged" in diverged.shortcomings()


def test_final_losses_are_those_of_the_evaluation(same):
    setting = {"learning_rate": np.float32(0.3)}
    found = final_losses(FAMILY, Adam(), setting, NUM_STEPS, SEEDS, "report")
    np.testing.assert_array_equal(found, same.learned.final_train_loss)
    others = final_losses(FAMILY, Adam(), setting, NUM_STEPS, SEEDS)
    assert not np.any(np.isclose(others, found))


@pytest.mark.parametrize("seeds", [(), (1,), (1, 1)])
def test_one_seed_gives_no_interval(seeds):
    with pytest.raises(InputError, match="an interval needs 2"):
        evaluate(FAMILY, Adam(), {}, num_steps=NUM_STEPS, seeds=seeds)


def test_a_better_optimizer_has_no_shortcomings():
    evaluation = made_up(learned=0.5 * ADAM, test_loss=0.5 * ADAM)
    assert evaluation.shortcomings() == []
    assert evaluation.best_baseline.name == "Adam"
    assert evaluation.comparison.ratio == pytest.approx(0.5)


def test_what_is_worse_is_said_with_the_rate_that_is_better():
    assert made_up(learned=0.5 * ADAM, test_loss=2.0 * ADAM).shortcomings() == [
        "test loss 1, where Adam at rate 0.1 has 0.5"
    ]
    assert made_up(learned=1.5 * ADAM, test_loss=0.5 * ADAM).shortcomings() == [
        "final train loss 0.75, where Adam at rate 0.1 has 0.5",
        "trajectory mean 1.875, where Adam at rate 0.1 has 1.25",
    ]


def test_a_tie_is_no_win():
    assert len(made_up(learned=ADAM, test_loss=ADAM).shortcomings()) == 3


def test_one_diverged_run_of_three():
    evaluation = made_up(learned=np.asarray([0.1, np.inf, 0.1], np.float32), test_loss=0.5 * ADAM)
    assert evaluation.learned.diverged == 1
    lines = evaluation.shortcomings()
    assert lines[0] == "final train loss inf, where Adam at rate 0.1 has 0.5"
    assert lines[-1] == "1 of 3 runs diverged"
