"""Contenders: each baseline by its name, with the budget that it states."""

import jax
import numpy as np
import optax
import optax.contrib
import pytest
from evaluations import plain_run

from metaopt import held_out
from metaopt.baselines import contenders, opt_list, search_spaces
from metaopt.baselines.contenders import AtEveryRate, Configurations, Trials
from metaopt.baselines.grid import RATES
from metaopt.baselines.one_rate import Rule
from taskset.errors import InputError
from taskset.families.mlp import MLPFamily
from taskset.families.quadratic import QuadraticFamily

pytestmark = pytest.mark.usefixtures("standard_promotion")

FAMILY, NUM_STEPS, SEEDS = QuadraticFamily(dim=3), 6, (5, 2)
NAMES = [name for name in contenders.names() if name != "nadamw100"] + ["nadamw3"]


def trained(contender, family=FAMILY, num_steps=NUM_STEPS) -> Trials:
    keys = held_out.evaluation_keys("report", SEEDS)
    return contender.train(family, family.load_data(), keys, num_steps, num_steps)


@pytest.mark.parametrize("name", NAMES)
def test_every_baseline_trains_as_often_as_it_says_and_improves(name: str):
    contender = contenders.named(name)
    found = trained(contender)
    number = contender.num_configurations
    assert len(found.settings) == found.runs.curves.shape[0] >= number
    assert found.runs.curves.shape[1:] == (len(SEEDS), NUM_STEPS)
    assert str(number) in contender.tuning
    assert contender.tuning.endswith("per task")
    assert contender.kind == "baseline"
    np.testing.assert_array_equal(found.runs.curves[0, :, 0], found.runs.curves[-1, :, 0])
    means = np.mean(found.runs.final_train_loss, axis=1)
    assert means[found.best] == np.nanmin(means)
    assert means[found.best] < np.mean(found.runs.curves[0, :, 0])


def by_rule(name: str):
    return {
        "lion": optax.lion,
        "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
        "muon": optax.contrib.muon,
        "schedule_free": optax.contrib.schedule_free_adamw,
    }[name]


@pytest.mark.parametrize("name", ["lion", "momentum", "muon", "schedule_free"])
def test_a_rate_of_a_rule_is_a_plain_run_of_optax(name: str):
    family = MLPFamily(hidden=(4,), batch_size=8)
    found = trained(AtEveryRate("", Rule(name=name), rates=(0.05, 0.3)), family, 4)
    row = next(i for i, s in enumerate(found.settings) if s["learning_rate"] == np.float32(0.3))
    key = held_out.evaluation_key("report", SEEDS[1])
    losses, task, params = plain_run(family, by_rule(name)(0.3), key, 4)
    np.testing.assert_allclose(found.runs.curves[row, 1], losses, rtol=1e-4)
    at_end = task.loss(params, family.load_data().whole("train"), key)
    alike = np.isclose(found.runs.final_train_loss[row, 1], at_end, rtol=1e-4)
    assert alike == (name != "schedule_free")  # whose result is an average, see below


def test_the_result_of_a_schedule_free_run_is_its_average():
    optimizer = Rule(name="schedule_free")
    transformation = optimizer.as_optax({"learning_rate": jax.numpy.float32(0.1)})
    params = jax.numpy.array([1.0, -2.0])
    state = transformation.init(params)
    for _ in range(3):
        updates, state = transformation.update(params, state, params)
        params = optax.apply_updates(params, updates)
    averages = optimizer.evaluation_params(state, params)
    np.testing.assert_allclose(0.9 * averages + 0.1 * state.z, params, rtol=1e-5)
    assert not np.allclose(averages, params)
    assert Rule(name="sgd").evaluation_params((), params) is params


def test_lists_and_searches_are_the_configurations_that_they_name():
    listed, drawn = contenders.named("nadamw10"), contenders.named("adam8p20")
    assert isinstance(listed, Configurations)
    assert isinstance(drawn, Configurations)
    assert listed.names == tuple(opt_list.name_for_idx(i) for i in range(10))
    assert drawn.names == tuple(f"adam8p_wide_grid_seed{i}" for i in range(20))
    few = trained(contenders.named("nadamw3"))
    for name, setting in zip(listed.names, few.settings, strict=False):
        values = search_spaces.hyperparameters(name)
        assert {key: np.float32(x) for key, x in values.items()} == setting


def test_parts_of_a_large_task_are_the_same_runs(monkeypatch: pytest.MonkeyPatch):
    contender = contenders.named("nadamw3")
    together = trained(contender)
    monkeypatch.setattr(held_out, "BYTES_AT_ONCE", 1.0)
    assert held_out.runs_at_once(FAMILY) == 1
    apart = trained(contender)
    for one, other in zip(together.runs, apart.runs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adma", "unknown baseline 'adma'; did you mean 'adam'"),
        ("nadamw", "did you mean .adamw."),
        ("nadamw0", "did you mean 'nadamw10'"),
        ("nadamw1001", "there are 1000"),
        ("adam8p9999", "there are 1000"),
        ("", "unknown baseline ''"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, message: str):
    with pytest.raises(InputError, match=message):
        contenders.named(name)


def test_budgets_are_said_in_words():
    said = {name: contenders.named(name).tuning for name in ("adam", "nadamw100", "adam8p7")}
    assert said == {
        "adam": f"{len(RATES)} rates, per task",
        "nadamw100": "the first 100 of the list, per task",
        "adam8p7": "random search of adam8p, 7 draws, per task",
    }
