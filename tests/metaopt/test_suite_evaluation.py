"""Units of an evaluation: exact numbers, keys that say what they are, and nothing left out."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt import held_out, suite_evaluation, update_cost
from metaopt.baselines import contenders
from metaopt.baselines.contenders import AtEveryRate, Learned
from metaopt.baselines.grid import tune_adam
from metaopt.baselines.one_rate import Adam
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.hand_designed import LearnableSGD
from metaopt.protocols import speed_up
from metaopt.suite_evaluation import Unit, assemble, curve_steps
from metaopt.suites import Suite, SuiteTask
from metaopt.update_cost import UpdateCost
from taskset.families.quadratic import QuadraticFamily

pytestmark = pytest.mark.usefixtures("standard_promotion")

FAMILY, SEEDS = QuadraticFamily(dim=3), (5, 2, 7)
TASK = SuiteTask("quadratic:dim=3", 6)
RATES = (0.05, 0.3, 10.0)
OPTIMIZER = LearnableSGD()
META_PARAMS = OPTIMIZER.init(jax.random.key(0))
LEARNED, ADAM = Learned("mine", OPTIMIZER, META_PARAMS), AtEveryRate("Adam", Adam(), rates=RATES)
BROKEN = Learned("broken", Adam(), {"learning_rate": jnp.float32(np.nan)})
ALL = (LEARNED, ADAM, BROKEN)
SUITE = Suite("toy", (TASK, SuiteTask("quadratic:dim=2", 6)), len(SEEDS))


@pytest.fixture(scope="module", autouse=True)
def no_timing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(update_cost, "measure", lambda *_: UpdateCost(1.0, 8.0))
        patch.setattr(suite_evaluation, "_gradient_milliseconds", lambda _: 0.5)
        yield


@pytest.fixture(scope="module")
def records(standard_promotion):
    """What came of each contender on `TASK`, by its title, as it is read from a file."""
    run = lambda contender: json.loads(json.dumps(Unit(TASK, contender, SEEDS).run()))
    return {contender.title: run(contender) for contender in ALL}


def smoothed(curves) -> np.ndarray:
    return speed_up.smoothed(np.asarray(curves)).astype(np.float32)


def same_bits(plain, array) -> bool:
    found = np.asarray(plain, np.float32)
    return found.tobytes() == np.asarray(array).tobytes()


def test_a_learned_optimizer_has_the_bits_of_its_held_out_runs(records):
    keys = held_out.evaluation_keys("report", SEEDS)
    problem = OptimizerTraining(FAMILY, OPTIMIZER, num_steps=6)
    setting = jax.tree.map(lambda x: jnp.asarray(x)[None], META_PARAMS)
    runs = held_out.train(problem, setting, FAMILY.load_data(), keys, 6)
    found = records["mine"]["result"]
    assert same_bits(found["curves"], smoothed(runs.curves[0]))
    assert same_bits(found["final_train_loss"], runs.final_train_loss[0])
    assert same_bits(found["test_loss"], runs.test_loss[0])
    assert same_bits(found["trajectory_mean"], np.mean(np.asarray(runs.curves[0]), axis=-1))
    assert (found["setting"], found["diverged"]) == ({}, 0)


def test_adam_has_the_bits_of_its_grid_and_the_best_of_its_rates(records):
    keys = held_out.evaluation_keys("report", SEEDS)
    grid = tune_adam(FAMILY, FAMILY.load_data(), keys, 6, rates=RATES)
    found, all_rates = records["Adam"]["result"], records["Adam"]["adam_grid"]
    assert same_bits(all_rates["rates"], grid.rates)
    assert same_bits(all_rates["curves"], smoothed(grid.curves))
    assert same_bits(found["curves"], smoothed(grid.curves[grid.best]))
    assert same_bits(found["final_train_loss"], grid.final_train_loss[grid.best])
    assert same_bits(found["test_loss"], grid.test_loss[grid.best])
    assert same_bits(found["setting"]["learning_rate"], grid.rates[grid.best])


def test_a_run_that_diverged_is_counted_and_kept_as_none(records):
    found = records["broken"]["result"]
    assert found["diverged"] == len(SEEDS)
    assert found["final_train_loss"] == found["trajectory_mean"] == [None] * len(SEEDS)
    assert [curve[0] is None for curve in found["curves"]] == [False] * len(SEEDS)
    assert [curve[-1] is None for curve in found["curves"]] == [True] * len(SEEDS)


def test_costs_are_those_measured(records):
    found = records["mine"]["result"]
    assert (found["update_milliseconds"], found["step_milliseconds"]) == (1.0, 1.5)
    assert found["state_bytes_per_parameter"] == 8.0


OF_THE_KEY = {
    "the task": {"task": SuiteTask("quadratic:dim=4", 6)},
    "a field of the task": {"task": SuiteTask("quadratic:dim=3,condition=9", 6)},
    "the steps": {"task": SuiteTask("quadratic:dim=3", 7)},
    "the horizon announced": {"task": SuiteTask("quadratic:dim=3", 6, announced_num_steps=60)},
    "the seeds": {"seeds": (5, 2)},
    "the order of the seeds": {"seeds": (2, 5, 7)},
    "the meta-parameters": {
        "contender": Learned("mine", OPTIMIZER, jax.tree.map(lambda x: x + 1e-6, META_PARAMS))
    },
    "the optimizer": {"contender": Learned("mine", LearnableSGD(0.2), META_PARAMS)},
    "the baseline": {"contender": ADAM},
    "its rates": {"contender": AtEveryRate("Adam", Adam(), rates=RATES[:2])},
    "its schedule": {"contender": AtEveryRate("Adam", Adam("cosine"), rates=RATES)},
    "a list": {"contender": contenders.named("nadamw3")},
    "its length": {"contender": contenders.named("nadamw4")},
    "a search": {"contender": contenders.named("adam8p3")},
    "another rule": {"contender": contenders.named("lion")},
}


def test_another_content_has_another_key(monkeypatch: pytest.MonkeyPatch):
    unit = Unit(TASK, LEARNED, SEEDS)
    changed = [dataclasses.replace(unit, **change).key("data") for change in OF_THE_KEY.values()]
    changed += [unit.key("data"), unit.key("other data")]
    monkeypatch.setattr(suite_evaluation, "PROTOCOL_VERSION", 10**6)
    changed.append(unit.key("data"))
    assert len(set(changed)) == len(OF_THE_KEY) + 3
    assert all(len(key) == 64 for key in changed)


def test_names_do_not_change_the_key_nor_does_what_no_baseline_is_told():
    assert Unit(TASK, Learned("other", OPTIMIZER, META_PARAMS, kind="export"), SEEDS).key(
        "data"
    ) == Unit(TASK, LEARNED, SEEDS).key("data")
    misled = SuiteTask("quadratic:dim=3", 6, announced_num_steps=60)
    assert Unit(misled, ADAM, SEEDS).key("data") == Unit(TASK, ADAM, SEEDS).key("data")
    named = SuiteTask("quadratic:dim=3,condition=10", 6)
    assert Unit(named, ADAM, SEEDS).key("data") == Unit(TASK, ADAM, SEEDS).key("data")


def test_only_the_learned_are_told_a_wrong_horizon():
    misled = SuiteTask("quadratic:dim=3", 6, announced_num_steps=60)
    told = [Unit(misled, contender, SEEDS).announced for contender in ALL]
    assert told == [60, 6, 60]


@pytest.mark.parametrize(("num_steps", "kept"), [(1, 1), (200, 200), (201, 101), (10_000, 200)])
def test_curves_are_kept_at_two_hundred_steps_at_most(num_steps: int, kept: int):
    steps = curve_steps(num_steps)
    assert (len(steps), steps[0]) == (kept, 0)
    assert steps[-1] < num_steps


def test_a_long_curve_is_thinned_and_its_mean_is_not():
    unit = Unit(SuiteTask("quadratic:dim=3", 401), LEARNED, SEEDS)
    found = unit.run()["result"]
    keys = held_out.evaluation_keys("report", SEEDS)
    problem = OptimizerTraining(FAMILY, OPTIMIZER, num_steps=401)
    setting = jax.tree.map(lambda x: jnp.asarray(x)[None], META_PARAMS)
    curves = held_out.train(problem, setting, FAMILY.load_data(), keys, 401).curves[0]
    assert same_bits(found["curves"], smoothed(curves)[:, list(curve_steps(401))])
    assert same_bits(found["trajectory_mean"], np.mean(np.asarray(curves), axis=-1))


@pytest.fixture(scope="module")
def evaluation(records):
    """Of two tasks, on the second of which all but Adam failed."""
    named = {(TASK.title, title): record for title, record in records.items()}
    other = SUITE.tasks[1].title
    named[other, "Adam"] = records["Adam"]
    failures = [{"task": other, "optimizer": x, "error": "no"} for x in ("mine", "broken")]
    return assemble(SUITE, ALL, SEEDS, named, failures, subject="s", sha256="c")


def test_evaluation_json_has_what_is_promised(evaluation):
    json.dumps(evaluation, allow_nan=False)
    assert list(evaluation) == [
        *("format_version", "subject", "sha256", "suite", "created", "metaopt", "platform"),
        *("seeds", "optimizers", "tasks", "failures"),
    ]
    assert (evaluation["format_version"], evaluation["seeds"]) == (2, [5, 2, 7])
    assert evaluation["optimizers"][1] == {
        "name": "Adam",
        "kind": "baseline",
        "tuning": "3 rates, per task",
        "configurations": 3,
        "tuning_runs": 9,
        "chosen": "per task, on the reported runs",
    }
    assert evaluation["optimizers"][0] | {"name": "", "kind": ""} == {
        "name": "",
        "kind": "",
        "tuning": "none",
        "configurations": 1,
        "tuning_runs": 0,
        "chosen": "declared before",
    }
    first = evaluation["tasks"][0]
    assert list(first["results"]) == ["mine", "Adam", "broken"]
    described = {k: v for k, v in first.items() if k not in ("results", "adam_grid", "anchors")}
    assert described == {
        "task": "quadratic:dim=3, 6 steps",
        "family": "quadratic",
        "split": "in_distribution",
        "axis": None,
        "scale": None,
        "num_steps": 6,
        "announced_num_steps": 6,
        "num_parameters": 3,
        "steps": [0, 1, 2, 3, 4, 5],
    }


def test_what_failed_is_missing_from_the_results_and_named(evaluation):
    second = evaluation["tasks"][1]
    assert list(second["results"]) == ["Adam"]
    assert [failure["optimizer"] for failure in evaluation["failures"]] == ["mine", "broken"]
    assert {failure["task"] for failure in evaluation["failures"]} == {second["task"]}


def test_anchors_are_the_start_and_the_best_that_a_baseline_comes_to(evaluation, records):
    anchors = evaluation["tasks"][0]["anchors"]
    adam = records["Adam"]["result"]
    starts = [curve[0] for curve in adam["curves"]]
    assert anchors["initial"] == pytest.approx(np.mean(starts), rel=1e-6)
    assert anchors["best"] == pytest.approx(np.mean(adam["final_train_loss"]), rel=1e-6)
    nothing = assemble(SUITE, ALL, SEEDS, {}, [], subject="s", sha256="c")["tasks"][0]
    assert nothing["anchors"] == {"initial": None, "best": None}
    assert nothing["adam_grid"] is None
