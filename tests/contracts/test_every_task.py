"""What every task family promises. A new family is added to `FAMILIES` below, in a small form."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import taskset
from taskset.base import SPLITS
from taskset.catalog import FAMILIES as NAMED

FAMILIES = [
    taskset.QuadraticFamily(dim=3, condition=100.0),
    taskset.MLPFamily(hidden=(4,), batch_size=5),
    taskset.MLPFamily(dataset="patches_8x8", hidden=(), activation="tanh", batch_size=3),
]


@pytest.fixture(params=FAMILIES, ids=taskset.name_of)
def family(request):
    return request.param


def first_batch(family, key):
    return family.load_data().sample("train", key, family.batch_size)


def assert_trees_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


def test_every_named_family_is_covered():
    assert {type(family) for family in FAMILIES} == set(NAMED.values())


def test_pickles_to_an_equal_value_with_an_equal_hash(family):
    copy = pickle.loads(pickle.dumps(family))
    assert copy == family
    assert hash(copy) == hash(family)


def test_its_name_builds_it(family):
    assert taskset.build(taskset.name_of(family)) == family


@pytest.mark.parametrize("family_name", NAMED)
def test_draws_are_reproducible_varied_and_can_be_named(family_name):
    drawn = [taskset.draw(family_name, seed) for seed in range(20)]
    assert drawn == [taskset.draw(family_name, seed) for seed in range(20)]
    assert len(set(drawn)) > 15
    assert [taskset.build(taskset.name_of(family)) for family in drawn] == drawn


def test_the_same_key_gives_the_same_task_and_start(family):
    a, b = (
        family.sample(family.load_data(), jax.random.key(1)),
        family.sample(family.load_data(), jax.random.key(1)),
    )
    assert_trees_equal(a, b)
    assert_trees_equal(a.init(jax.random.key(2)), b.init(jax.random.key(2)))


def test_other_keys_give_other_starts_of_the_same_shapes(family):
    starts = [
        family.sample(family.load_data(), jax.random.key(i)).init(jax.random.key(i))
        for i in range(2)
    ]
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), start) for start in starts]
    assert shapes[0] == shapes[1]
    assert any(np.any(x != y) for x, y in zip(*map(jax.tree.leaves, starts), strict=True))


def test_loss_is_a_finite_float32_scalar_with_finite_nonzero_gradients(family):
    key = jax.random.key(0)
    task = family.sample(family.load_data(), key)
    params = task.init(key)
    loss, grads = jax.value_and_grad(task.loss)(params, first_batch(family, key), key)
    assert loss.shape == ()
    assert loss.dtype == jnp.float32
    assert np.isfinite(loss)
    assert all(np.all(np.isfinite(grad)) for grad in jax.tree.leaves(grads))
    assert any(np.any(grad != 0) for grad in jax.tree.leaves(grads))


def test_vmap_over_tasks_equals_one_by_one(family):
    def loss_of(task, key, data):
        batch = data.sample("train", key, family.batch_size)
        return task.loss(task.init(key), batch, key)

    keys, data = jax.random.split(jax.random.key(0), 3), family.load_data()
    tasks = jax.vmap(family.sample, (None, 0))(family.load_data(), keys)
    losses = jax.vmap(loss_of, in_axes=(0, 0, None))(tasks, keys, data)
    one_by_one = [loss_of(family.sample(family.load_data(), key), key, data) for key in keys]
    np.testing.assert_allclose(losses, one_by_one, rtol=1e-5)
    assert len(set(losses.tolist())) == 3


def test_a_second_key_does_not_retrace(family):
    traces = 0

    @jax.jit
    def loss_of(data, key):
        nonlocal traces
        traces += 1
        task = family.sample(family.load_data(), key)
        return task.loss(task.init(key), data.sample("train", key, family.batch_size), key)

    first, second = (loss_of(family.load_data(), jax.random.key(i)) for i in range(2))
    assert first != second
    assert traces == 1


def test_data_enters_a_program_as_an_argument(family):
    def batch_of(data, key):
        return data.sample("train", key, family.batch_size)

    data, key = family.load_data(), jax.random.key(0)
    program = jax.make_jaxpr(batch_of)(data, key)
    assert not [const for const in program.consts if np.size(const) > 1]
    assert_trees_equal(jax.jit(batch_of)(data, key), batch_of(data, key))


@pytest.mark.parametrize("split", SPLITS)
def test_batches_are_by_key_and_of_the_size_asked_for(family, split):
    data = family.load_data()
    batches = [data.sample(split, jax.random.key(seed), 7) for seed in (0, 0, 1)]
    assert_trees_equal(batches[0], batches[1])
    for a, b in zip(*map(jax.tree.leaves, (batches[0], batches[2])), strict=True):
        assert a.shape[0] == 7
        assert np.any(a != b)
