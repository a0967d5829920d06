"""What every task family promises. A new family is added to `FAMILIES` below, in a small form."""

import jax
import numpy as np
import pytest

import taskset
from taskset import check
from taskset.base import SPLITS
from taskset.catalog import FAMILIES as NAMED
from taskset.check import CHECKS

FAMILIES = [
    taskset.QuadraticFamily(dim=3, condition=100.0),
    taskset.MLPFamily(hidden=(4,), batch_size=5),
    taskset.MLPFamily(dataset="patches_8x8", hidden=(), activation="tanh", batch_size=3),
]


@pytest.fixture(params=FAMILIES, ids=taskset.name_of)
def family(request):
    return request.param


def test_every_named_family_is_covered():
    assert {type(family) for family in FAMILIES} == set(NAMED.values())


@pytest.mark.parametrize("name", CHECKS)
def test_keeps_the_promise(family, name):
    finding = check.finding(name, family)
    assert finding.ok, finding.message


def test_its_name_builds_it(family):
    assert taskset.build(taskset.name_of(family)) == family


@pytest.mark.parametrize("family_name", NAMED)
def test_draws_are_reproducible_varied_and_can_be_named(family_name):
    drawn = [taskset.draw(family_name, seed) for seed in range(20)]
    assert drawn == [taskset.draw(family_name, seed) for seed in range(20)]
    assert len(set(drawn)) > 15
    assert [taskset.build(taskset.name_of(family)) for family in drawn] == drawn


def test_another_key_is_another_problem(family):
    def loss_of(data, key):
        task = family.sample(data, key)
        return task.loss(task.init(key), data.sample("train", key, family.batch_size), key)

    keys = jax.random.split(jax.random.key(0), 3)
    losses = jax.vmap(loss_of, in_axes=(None, 0))(family.load_data(), keys)
    assert len(set(losses.tolist())) == 3


@pytest.mark.parametrize("split", SPLITS)
def test_another_key_is_another_minibatch(family, split):
    data = family.load_data()
    minibatches = [data.sample(split, jax.random.key(seed), 7) for seed in range(2)]
    for a, b in zip(*map(jax.tree.leaves, minibatches), strict=True):
        assert np.any(a != b)
