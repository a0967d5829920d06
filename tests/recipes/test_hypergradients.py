"""Published results of hyper-gradients, at a scale that takes seconds: they have to hold."""

import importlib
import json
from pathlib import Path

import chaos
import full_size
import hyper_cleaning
import jax
import learned_images
import learned_schedules
import numpy as np
import online_tuning
import optimizer_constants
import overfitted_validation
import pytest
import response_slope
import task_sharing
import tuned_dropout
import weight_penalties
from matplotlib.figure import Figure

from metaopt import exports
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.learned_optimizers import FactoredMLP

KEY = jax.random.key(0)
RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "hypergradient_recipes"


@pytest.mark.slow
def test_schedules_and_initial_scales(monkeypatch):
    monkeypatch.setattr(learned_schedules, "NUM_OUTER_STEPS", 30)
    outcome = learned_schedules.run()
    results, rates = outcome["results"], np.asarray(outcome["learning_rate"])
    assert results["train_loss_start"] > 0.5
    assert results["train_loss_learned"] < 0.1
    scales = np.asarray(results["initial_scales"])
    assert np.all((scales > 0.08) & (scales < 0.2))
    # Rates fall at the end, that of the first layer most of all.
    fall = rates[:, -3:].mean(1) / rates[:, 40:60].mean(1)
    assert np.all(fall < 1) and np.argmin(fall) == 0


def test_a_penalty_for_every_weight():
    results = weight_penalties.run()["results"]
    assert results["learned"]["valid"] < results["best_of_one"]["valid"] - 0.04
    assert results["learned"]["test"] < results["best_of_one"]["test"]
    assert results["empty_pixels"] > 0
    assert results["gradient_of_empty_pixels"] == 0 < results["least_gradient_of_others"]


def test_images_that_teach():
    results = learned_images.run()["results"]
    assert results["test_accuracy"] > max(0.88, results["of_ten_examples"] + 0.1)
    assert min(results["correlations_with_means"]) > 0.6
    assert results["negative_pixels"] > 0


@pytest.mark.slow
def test_wrong_labels_are_found(monkeypatch):
    monkeypatch.setattr(hyper_cleaning, "NUM_OUTER_STEPS", 60)
    results = hyper_cleaning.run()["results"]
    assert results["f1"] > 0.85
    assert results["of_right_examples"] >= results["test_accuracy"]
    assert results["test_accuracy"] >= results["of_all_examples"] + 0.02


def test_held_out_examples_can_be_overfitted():
    results = overfitted_validation.run()["results"]
    assert results["least_held_out_error"] <= 0.02
    assert results["last_errors"]["test"] > 0.05


def test_a_response_has_the_right_slope_where_perturbations_are_neither_narrow_nor_wide():
    results = response_slope.run()["results"]
    narrow, right, wide = (
        np.asarray(results[f"scale {scale}"]["cosines_of_slopes"]) for scale in (0.1, 0.5, 2.0)
    )
    assert right.min() > 0.99
    for other in (narrow, wide):
        error = (other - right).std(ddof=1) / len(right) ** 0.5
        assert np.mean(right - other) > 3 * error


@pytest.mark.slow
def test_a_rate_is_found_within_one_run():
    results = online_tuning.run()["results"]
    assert results["of_its_start"] < 0.5
    assert results["valid_accuracy_tuned"] > 0.88


def test_gradients_agree_with_differences_up_to_chaos():
    results = chaos.run()["results"]
    assert results["agrees_up_to_log_rate"] >= -0.5
    assert len(results["log_rates_of_chaos"]) >= 3
    assert min(results["log_rates_of_chaos"]) > results["agrees_up_to_log_rate"]


def test_tasks_that_are_alike_come_to_share():
    results = task_sharing.run()["results"]
    assert results["learned"] < 0.8 * results["separate"]
    assert results["correlation_within"] > results["correlation_across"] + 0.5


NUM_HYPERPARAMETERS = {
    "mnist_schedules": 8 * 201,
    "mnist_penalties": 7_840,
    "mnist_images": 7_841,
    "mnist_cleaning": 5_000,
    "mnist_overfitting": 623_290,
    "omniglot_sharing": 3 * 100,
    "cifar10_self_tuning": 2 * 15,  # and their scales
    "ptb_self_tuning": 7,
}


def test_the_published_sizes_can_be_planned():
    found = {name: full_size.plan(preset) for name, preset in full_size.PRESETS.items()}
    sizes = {name: plan["hyper-parameters"] for name, plan in found.items()}
    assert sizes == NUM_HYPERPARAMETERS


def test_a_learned_optimizer_has_constants_to_tune(tmp_path):
    exports.export(tmp_path / "export", FactoredMLP(), FactoredMLP().init(KEY))
    training = optimizer_constants.ByExport(str(tmp_path / "export"))
    problem = HyperparameterTraining(optimizer_constants.NEW, training)
    # It raises for those that do not reach the outer loss.
    assert len(problem.start(problem.load_data(), KEY)) == 2


def test_dropout_can_be_tuned():
    method = tuned_dropout.estimator(tuned_dropout.FAMILY, 0.35, centred=True)
    experiment = full_size.Preset(method, tuned_dropout.OPTIMIZER, 1, "")
    assert full_size.plan(experiment)["hyper-parameters"] == 2  # and its scale


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_recorded_outcomes_can_be_drawn(path):
    figure = Figure(layout="constrained")
    importlib.import_module(path.stem).draw(json.loads(path.read_text()), figure)
    names = [axes.get_ylabel() or axes.get_xlabel() or axes.get_title() for axes in figure.axes]
    assert names and all(names)
