"""Held-out runs: what a plain loop does, under names that decide everything."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from evaluations import plain_run

from metaopt import held_out
from metaopt.baselines.one_rate import Adam
from metaopt.inner_problem import InnerState, OptimizerTraining
from taskset.data.arrays import ArrayDataset
from taskset.families.mlp import MLPFamily

pytestmark = pytest.mark.usefixtures("standard_promotion")

FAMILY = MLPFamily(hidden=(4,), batch_size=8)
NUM_STEPS, SEEDS = 5, (3, 11, 4)
RATES = np.asarray([0.01, 0.3], np.float32)


@pytest.fixture(scope="module")
def runs(standard_promotion):
    keys = held_out.evaluation_keys("report", SEEDS)
    problem = OptimizerTraining(FAMILY, Adam())
    settings = {"learning_rate": jnp.asarray(RATES)}
    return held_out.train(problem, settings, FAMILY.load_data(), keys, NUM_STEPS)


def test_shapes(runs):
    assert runs.curves.shape == (2, 3, NUM_STEPS)
    assert runs.final_train_loss.shape == runs.test_loss.shape == (2, 3)


@pytest.mark.parametrize(("setting", "seed_index"), [(0, 0), (1, 2)])
def test_a_run_is_that_of_a_plain_loop_with_its_key(runs, setting: int, seed_index: int):
    key = held_out.evaluation_key("report", SEEDS[seed_index])
    adam = optax.adam(float(RATES[setting]))
    losses, task, params = plain_run(FAMILY, adam, key, NUM_STEPS)
    np.testing.assert_allclose(runs.curves[setting, seed_index], losses, rtol=1e-4)
    for split, found in (("train", runs.final_train_loss), ("test", runs.test_loss)):
        expected = task.loss(params, FAMILY.load_data().whole(split), key)
        np.testing.assert_allclose(found[setting, seed_index], expected, rtol=1e-4)


def test_settings_share_starts_and_minibatches_and_seeds_do_not(runs):
    first = np.asarray(runs.curves[..., 0])
    np.testing.assert_array_equal(first[0], first[1])
    assert len(set(first[0].tolist())) == len(SEEDS)


def test_every_stream_and_seed_has_a_key_of_its_own():
    keys = [held_out.evaluation_keys(s, range(50)) for s in ("selection", "report", "scale")]
    data = np.concatenate([jax.random.key_data(key) for key in keys])
    assert len(np.unique(data, axis=0)) == 150
    one = held_out.evaluation_key("report", 7)
    np.testing.assert_array_equal(jax.random.key_data(one), data[57])


@pytest.mark.parametrize("num_examples", [4096, 5001])
def test_a_large_split_in_parts_has_the_loss_of_the_whole(num_examples: int):
    random = np.random.RandomState(0)
    examples = {
        "image": jnp.asarray(random.randint(256, size=(num_examples, 64)), jnp.uint8),
        "label": jnp.asarray(np.sort(random.randint(10, size=num_examples)), jnp.int32),
    }
    task = FAMILY.sample(FAMILY.load_data(), jax.random.key(0))
    params = task.init(jax.random.key(1))
    key = jax.random.key(2)
    state = InnerState(task, params, ())
    found = held_out.whole_loss(state, ArrayDataset({"train": examples}), "train", key)
    np.testing.assert_allclose(found, task.loss(params, examples, key), rtol=1e-5)
