"""Mixtures: the same seed, the same task; splits share no seed; limits hold."""

import collections
import dataclasses

import numpy as np
import pytest

import taskset
from taskset import catalog, costs, timings
from taskset.errors import InputError
from taskset.mixture import HUNDREDS, Mixture, split_of

MLPS = Mixture(("mlp_family",))


def seed_of(name: str) -> int:
    return int(name.partition(":")[0].rpartition("_seed")[2])


def test_the_same_seed_gives_the_same_task_and_others_differ():
    names = [MLPS.sample(seed) for seed in range(50)]
    assert names == [MLPS.sample(seed) for seed in range(50)]
    assert len(set(names)) > 40
    assert all(name.endswith(":source=embedded,buckets=padded") for name in names)


@pytest.mark.parametrize("split", HUNDREDS)
def test_splits_share_no_seed_of_any_family(split):
    mixture = Mixture(("mlp_family", "nvp_family"), split=split, num_seeds=2000)
    drawn = [mixture.sample(seed) for seed in range(100)]
    assert {split_of(seed_of(name)) for name in drawn} == {split}
    assert max(seed_of(name) for name in drawn) >= 1000


def test_weights_are_those_of_the_components():
    mixture = Mixture(("mlp_family*3", "quadratic:dim=2"))
    drawn = [mixture.sample(seed) for seed in range(400)]
    share = sum(name.startswith("mlp_family") for name in drawn) / 400
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 400)


def test_all_families_are_drawn_and_none_that_cannot_be_built():
    drawn = [Mixture().sample(seed) for seed in range(300)]
    families = collections.Counter(name.partition("_seed")[0] for name in drawn)
    assert set(families) == set(taskset.names())
    assert all(taskset.feasible(name.partition(":")[0]) for name in drawn)


def test_augmentations_are_used_for_their_share():
    wanted = ("rescale_loss:spread=10.0", "delay_gradient:steps=2")
    mixture = dataclasses.replace(MLPS, augmentations=wanted, augmented=0.3)
    drawn = [mixture.sample(seed) for seed in range(400)]
    for augmentation in wanted:
        share = sum(f"+{augmentation}" in name for name in drawn) / 400
        assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)
    assert catalog.name_of(catalog.build(drawn[0])) == drawn[0]


def test_limits_hold():
    small = Mixture(("quadratic_family",), max_parameters=20, max_memory_bytes=100_000)
    for seed in range(10):
        cost = costs.estimate(catalog.exact(catalog.build(small.sample(seed))))
        assert cost.parameters <= 20
        assert cost.memory_bytes <= 100_000


def test_step_time_is_limited_by_the_table(monkeypatch):
    slow = {"quadratic:dim=2": 1.0, "quadratic:dim=3": 0.001}
    monkeypatch.setattr(timings, "table", lambda: slow)
    mixture = Mixture(("quadratic:dim=2", "quadratic:dim=3"), max_step_seconds=0.01)
    assert {mixture.sample(seed) for seed in range(20)} == {"quadratic:dim=3"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"components": ("mlp_famly",)}, "did you mean 'mlp_family'?"),
        ({"components": ("mlp_family*0",)}, "weight '0' is not a positive number"),
        ({"split": "tests"}, "unknown split of tasks 'tests'; did you mean 'test'?"),
        ({"num_seeds": 10}, "num_seeds is 10; it must be at least 1000"),
        ({"augmented": 2.0}, "augmented is 2.0; it must be from 0 to 1"),
        ({"max_parameters": -1}, "max_parameters is -1; it must be at least 0"),
        ({"source": "tdfs"}, "unknown source 'tdfs'; did you mean 'tfds'?"),
        ({"augmentations": ("rescale",)}, "did you mean 'rescale_loss'?"),
    ],
)
def test_bad_mixtures_are_refused_in_one_line(fields, message):
    with pytest.raises(InputError) as caught:
        Mixture(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_limits_that_nothing_meets_are_an_error():
    mixture = Mixture(("quadratic:dim=9",), max_parameters=3)
    with pytest.raises(InputError, match="no task of 1000 draws is within the limits"):
        mixture.sample(0)
