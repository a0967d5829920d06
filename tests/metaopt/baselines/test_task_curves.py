"""Curves of search spaces: what is measured when, on which split, and how it is kept."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt import held_out
from metaopt.baselines import optimizers, task_curves
from metaopt.baselines.optimizers import SearchSpace
from metaopt.baselines.task_curves import Protocol
from metaopt.inner_problem import OptimizerTraining
from taskset.base import SPLITS, Dataset, NoData, Task, TaskFamily
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily

FAMILY = QuadraticFamily(dim=3)
NAMES = ["adam1p_wide_grid_seed4", "adam1p_wide_grid_seed1", "adam_lr_-1.00"]
SHORT = Protocol(num_steps=100, num_minibatches=1, num_replicas=2)


@dataclasses.dataclass(frozen=True)
class SplitNumbers(Dataset):
    """Minibatches of the place of the split in `SPLITS`, and whether a coin falls on 1."""

    def sample(self, split, key, batch_size):
        coins = jax.random.bernoulli(key, shape=(batch_size,)).astype(jnp.float32)
        return {"split": jnp.full((batch_size,), float(SPLITS.index(split))), "coin": coins}

    def whole(self, split):
        raise NotImplementedError


jax.tree_util.register_dataclass(SplitNumbers, [], [])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SplitLoss(Task):
    def init(self, key):
        return jnp.zeros(())

    def loss(self, params, batch, key):
        return jnp.mean(10.0 * batch["split"] + batch["coin"]) + 0.0 * params


@dataclasses.dataclass(frozen=True)
class SplitFamily(TaskFamily):
    batch_size: int = 2

    def load_data(self):
        return SplitNumbers()

    def sample(self, data, key):
        return SplitLoss()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LeavesItsDomain(Task):
    def init(self, key):
        return jnp.zeros(())

    def loss(self, params, batch, key):
        return jnp.sqrt(1 - params)


@dataclasses.dataclass(frozen=True)
class LeavingFamily(TaskFamily):
    batch_size = 0

    def load_data(self):
        return NoData()

    def sample(self, data, key):
        return LeavesItsDomain()


def losses_step_by_step(name, replica, num_steps):
    """Of a training without minibatches, before each step and after the last."""
    key = jax.random.split(held_out.evaluation_key("scale", replica), 3)[0]
    problem = OptimizerTraining(FAMILY, SearchSpace("adam1p_wide_grid"), num_steps=num_steps)
    settings = {"learning_rate": jnp.asarray(0.1)}
    task, params, *_ = problem.init(settings, FAMILY.load_data(), key)
    optimizer = optimizers.optimizer(name, num_steps)
    state, losses = optimizer.init(params), []
    step = jax.jit(lambda params: jax.value_and_grad(task.loss)(params, None, key))
    for _ in range(num_steps + 1):
        loss, grads = step(params)
        losses.append(float(loss))
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return losses


def test_losses_are_those_before_the_update_of_51_steps_from_the_first_to_the_last():
    found = task_curves.compute(FAMILY, NAMES, SHORT)
    np.testing.assert_array_equal(found.xs, np.arange(0, 101, 2))
    assert found.ys.shape == (3, 2, 51, 4)
    assert found.ys.dtype == np.float32
    assert found.optimizers.tolist() == [name.encode() for name in NAMES]
    for index, replica in ((0, 0), (2, 1)):
        expected = losses_step_by_step(NAMES[index], replica, 100)[::2]
        for split in range(4):  # which are the same without data
            np.testing.assert_allclose(
                found.ys[index, replica, :, split], expected, rtol=1e-4, atol=1e-6
            )
    assert not np.allclose(found.ys[:, 0, 0], found.ys[:, 1, 0])  # replicas start elsewhere
    np.testing.assert_array_equal(found.ys[0, :, 0], found.ys[2, :, 0])  # configurations do not


def test_parts_of_configurations_change_nothing(monkeypatch):
    at_once = task_curves.compute(FAMILY, NAMES, SHORT)
    monkeypatch.setattr(task_curves, "CONFIGURATIONS_AT_ONCE", 2)
    in_parts = task_curves.compute(FAMILY, NAMES, SHORT)
    np.testing.assert_allclose(in_parts.ys, at_once.ys, rtol=1e-6)


def test_every_split_has_its_own_minibatches_in_the_order_of_splits():
    num_minibatches = 200
    protocol = Protocol(50, num_minibatches, num_replicas=1)
    ys = task_curves.compute(SplitFamily(), NAMES[:1], protocol).ys[0, 0]
    coins = ys - 10 * np.arange(4)
    standard_error = 0.5 / np.sqrt(num_minibatches * 2)
    assert np.all(np.abs(coins - 0.5) < 5 * standard_error)
    assert len(np.unique(coins[0])) > 1
    np.testing.assert_allclose(np.std(coins), standard_error, rtol=0.3)


def test_what_diverges_stays_as_it_is():
    protocol = Protocol(50, num_minibatches=1, num_replicas=1)
    ys = task_curves.compute(LeavingFamily(), ["adam_lr_1.00", "adam_lr_-7.00"], protocol).ys
    assert np.all(ys[0, 0, 0] == 1)
    assert np.all(np.isnan(ys[0, 0, 1:]))
    np.testing.assert_allclose(ys[1], 1, rtol=1e-4)


@pytest.mark.usefixtures("standard_promotion")
def test_adam_curves_begin_alike_and_fall_at_a_good_rate():
    losses = task_curves.adam_curves(FAMILY, (1e-8, 0.1), 60)
    assert losses.shape == (2, 60)
    assert losses[0, 0] == losses[1, 0]
    np.testing.assert_allclose(losses[0], losses[0, 0], rtol=1e-4)
    assert losses[1, -1] < 0.1 * losses[1, 0]


def test_files_hold_what_was_written(tmp_path):
    curves = task_curves.TaskCurves(
        np.asarray([b"a_seed0"]), np.arange(51), np.full((1, 1, 51, 4), np.nan, np.float32)
    )
    path = tmp_path / "new" / "curves.npz"
    task_curves.write(path, curves)
    for found, expected in zip(task_curves.read(path), curves):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive"])
def test_a_damaged_file_is_an_error_that_names_it(content, tmp_path):
    path = tmp_path / "curves.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"curves\.npz holds no curves"):
        task_curves.read(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_steps": 51}, "number of steps is 51; it must be a multiple of 50"),
        ({"num_steps": 0}, "number of steps is 0"),
        ({"num_replicas": 0}, "num_replicas is 0; it must be at least 1"),
        ({"num_minibatches": 0}, "num_minibatches is 0"),
    ],
)
def test_impossible_protocols_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        Protocol(**values)
