"""Suites: tasks that exist, away from what was trained on as far as they say."""

import pytest

from metaopt import suites
from metaopt.suites import SuiteTask, TrainedOn
from taskset import catalog
from taskset.errors import InputError
from taskset.mixture import split_of
from taskset.named import fixed_names

MLP = "mlp:dataset=digits,hidden=32,batch_size=64"
TRAINED_ON = {
    "an MLP": TrainedOn((MLP,), 200),
    "sampled tasks": TrainedOn(("mlp_family_seed904:source=embedded", "quadratic:dim=3"), 50),
    "a padded task": TrainedOn(("TwoD_Bowl1:source=embedded,buckets=padded",), 10),
    "a mixture": TrainedOn(
        ("conv_pooling_family_seed917:source=embedded",), 20, ("conv_pooling_family", "mlp")
    ),
    "nothing": TrainedOn((), 20),
}
WIDENED = ("width", "depth", "data", "activation", "horizon", "wrong_horizon")


@pytest.mark.parametrize("trained_on", TRAINED_ON.values(), ids=TRAINED_ON)
@pytest.mark.parametrize("name", suites.SUITES)
def test_every_suite_lists_tasks_that_exist(name: str, trained_on: TrainedOn):
    if not trained_on.tasks and name == "iid":
        pytest.skip("there is nothing to list, which is refused")
    suite = suites.named(name, trained_on)
    assert suite.num_seeds >= 2
    assert len({task.title for task in suite.tasks}) == len(suite.tasks)
    known = {suites.exact_name(task) for task in trained_on.tasks}
    for task in suite.tasks:
        assert catalog.build(task.name)
        known_kind = suites.exact_name(task.name) in known or task.component in trained_on.families
        away = task.axis is not None or not known_kind
        assert task.split == ("out_of_distribution" if away else "in_distribution")
        assert (task.axis is None) == (task.scale is None) or task.axis in ("data", "activation")


@pytest.mark.parametrize("trained_on", TRAINED_ON.values(), ids=TRAINED_ON)
def test_sampled_tasks_are_of_the_seeds_that_no_mixture_trains_on(trained_on: TrainedOn):
    for name in ("small", "ood"):
        added = {task.name for task in suites.named(name, trained_on).tasks} - {*trained_on.tasks}
        seeds = [int(x.partition(":")[0].rpartition("_seed")[2]) for x in added if "_seed" in x]
        assert seeds
        assert {split_of(seed) for seed in seeds} == {"test"}


def test_out_of_distribution_goes_away_in_every_direction():
    tasks = suites.named("ood", TRAINED_ON["an MLP"]).tasks
    assert {task.axis for task in tasks} == {*WIDENED, None}
    by_axis = {axis: [t for t in tasks if t.axis == axis] for axis in WIDENED}
    hidden = {t.scale: catalog.build(t.name).hidden for t in by_axis["width"] + by_axis["depth"]}
    assert (hidden[16], hidden[3]) == ((512,), (32, 32, 32))
    assert [t.num_steps for t in by_axis["horizon"]] == [400, 1000, 2000]
    assert [t.announced for t in by_axis["horizon"]] == [400, 1000, 2000]
    assert [t.announced for t in by_axis["wrong_horizon"]] == [20, 100, 400, 2000]
    assert {t.num_steps for t in by_axis["wrong_horizon"]} == {200}
    assert "digits" not in {catalog.build(t.name).dataset for t in by_axis["data"]}


def test_the_fixed_suite_is_all_fixed_tasks_with_those_trained_on_marked():
    tasks = suites.named("fixed", TRAINED_ON["a padded task"]).tasks
    assert [catalog.build(task.name).name for task in tasks] == list(fixed_names())
    assert [t.name for t in tasks if t.split == "in_distribution"] == ["TwoD_Bowl1:source=embedded"]


def test_a_wrong_horizon_that_is_none_is_left_out():
    tasks = suites.named("ood", TrainedOn(("quadratic:dim=3",), 1)).tasks
    assert {t.announced for t in tasks if t.axis == "wrong_horizon"} == {2, 10}


@pytest.mark.parametrize(
    ("name", "family"),
    [
        (MLP, "mlp"),
        ("quadratic:dim=3+rescale_loss:spread=10", "quadratic"),
        ("conv_pooling_family_seed901:source=embedded", "conv_pooling_family"),
        ("FixedMLPAE_mnist_32x32x32_bs128:source=embedded", "fixed_mlp_ae"),
    ],
)
def test_families_group_tasks(name: str, family: str):
    assert SuiteTask(name, 5).family == family


def test_a_suite_of_named_tasks():
    suite = suites.of_tasks("mine", [MLP, "quadratic:dim=2", MLP], TRAINED_ON["an MLP"])
    assert [(task.name, task.split) for task in suite.tasks] == [
        (MLP, "in_distribution"),
        ("quadratic:dim=2", "out_of_distribution"),
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: suites.named("smal", TRAINED_ON["nothing"]), "did you mean 'small'"),
        (lambda: suites.named("iid", TRAINED_ON["nothing"]), "name --tasks"),
        (lambda: SuiteTask("mpl", 5), "did you mean 'mlp'"),
        (lambda: SuiteTask(MLP, 0), "num_steps of .* is 0"),
        (lambda: SuiteTask(MLP, 1, announced_num_steps=0), "announced_num_steps of .* is 0"),
    ],
)
def test_bad_input_is_refused(make, message: str):
    with pytest.raises(InputError, match=message):
        make()
