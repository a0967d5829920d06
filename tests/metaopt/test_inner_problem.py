"""An optimizer training a task, against a loop over optax written out by hand."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt.corruption import Corruption
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.base import LearnedOptimizer
from taskset.augment import DelayGradient
from taskset.base import SPLITS, Task, TaskFamily
from taskset.data.arrays import ArrayDataset

RATE = jnp.float32(0.02)
KEYS = jax.random.split(jax.random.key(1), 4)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Regression(Task):
    scale: jax.Array

    def init(self, key):
        return {"w": jax.random.normal(key, (3,)), "b": jnp.zeros(())}

    def loss(self, params, batch, key):
        noise = 0.1 * jax.random.normal(key)
        error = batch["x"] @ params["w"] + params["b"] - self.scale * batch["y"]
        return jnp.mean(jnp.square(error)) + noise * params["b"]


@dataclasses.dataclass(frozen=True)
class Regressions(TaskFamily):
    batch_size = 5

    def load_data(self):
        rng = np.random.RandomState(0)
        array = lambda *shape: jnp.asarray(rng.randn(*shape).astype(np.float32))
        return ArrayDataset({split: {"x": array(20, 3), "y": array(20)} for split in SPLITS})

    def sample(self, data, key):
        return Regression(1.0 + jax.random.uniform(key))


class Recorded(NamedTuple):
    momentum: Any
    value: jax.Array


@dataclasses.dataclass(frozen=True)
class Momentum(LearnedOptimizer):
    """SGD with momentum whose rate is the meta-parameter; keeps the loss that it is shown."""

    def init(self, key):
        return RATE

    def as_optax(self, meta_params, *, num_steps=None):
        inner = optax.sgd(meta_params / (num_steps or 1), momentum=0.9)

        def update(gradients, state, params=None, *, value, **extra_args):
            updates, momentum = inner.update(gradients, state.momentum, params)
            return updates, Recorded(momentum, value)

        init = lambda params: Recorded(inner.init(params), jnp.zeros(()))
        return optax.GradientTransformationExtraArgs(init, update)


def problem(outer_split="train", num_steps=None):
    return OptimizerTraining(Regressions(), Momentum(), outer_split, num_steps)


def tampered(data, split):
    arrays = dict(data.arrays)
    arrays[split] = jax.tree.map(lambda x: x + 1.0, arrays[split])
    return ArrayDataset(arrays)


@functools.cache
def compiled_step(problem):
    return jax.jit(problem.step)


def trained(problem, data):
    """The states and outer losses of four steps, from one compiled step."""
    state = problem.init(RATE, data, jax.random.key(0))
    step, states, losses = compiled_step(problem), [], []
    for key in KEYS:
        state, loss = step(RATE, state, data, key)
        states.append(state)
        losses.append(float(loss))
    return states, losses


class MomentumWithValidation(Momentum):
    """Keeps the validation loss in the place of the training loss."""

    uses = ("valid_value",)

    def as_optax(self, meta_params, *, num_steps=None):
        seen = super().as_optax(meta_params, num_steps=num_steps)
        show = lambda *args, valid_value, **extra: seen.update(*args, value=valid_value)
        return optax.GradientTransformationExtraArgs(seen.init, show)


def test_a_validation_loss_is_of_inner_valid_and_for_those_that_ask():
    data = Regressions().load_data()
    plain, _ = trained(problem(), data)
    asked, _ = trained(dataclasses.replace(problem(), optimizer=MomentumWithValidation()), data)
    off, _ = trained(
        dataclasses.replace(problem(), optimizer=MomentumWithValidation()),
        tampered(data, "inner_valid"),
    )
    one, two = asked[0], off[0]
    assert same(one.params, two.params) and not same(one.opt_state.value, two.opt_state.value)
    before = problem().init(RATE, data, jax.random.key(0))
    key_batch, key_loss = jax.random.split(jax.random.split(KEYS[0], 4)[3])
    loss = before.task.loss(before.params, data.sample("inner_valid", key_batch, 5), key_loss)
    np.testing.assert_allclose(one.opt_state.value, loss, rtol=1e-6)
    assert not same(plain[0].opt_state.value, one.opt_state.value)


def same(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("outer_split", ["train", "outer_valid"])
def test_steps_are_those_of_a_loop_over_optax(outer_split):
    data = Regressions().load_data()
    states, losses = trained(problem(outer_split), data)

    key_task, key_params = jax.random.split(jax.random.key(0))
    task = Regressions().sample(data, key_task)
    params = task.init(key_params)
    sgd = optax.sgd(0.02, momentum=0.9)
    opt_state = sgd.init(params)
    for key, state, outer_loss in zip(KEYS, states, losses, strict=True):
        key_batch, key_loss, key_outer = jax.random.split(key, 3)
        batch = data.sample("train", key_batch, 5)
        loss, gradients = jax.value_and_grad(task.loss)(params, batch, key_loss)
        updates, opt_state = sgd.update(gradients, opt_state)
        params = optax.apply_updates(params, updates)
        if outer_split == "outer_valid":
            key_batch, key_loss = jax.random.split(key_outer)
            batch = data.sample("outer_valid", key_batch, 5)
            loss = task.loss(params, batch, key_loss)
        for name, value in params.items():
            np.testing.assert_allclose(state.params[name], value, rtol=1e-5, atol=1e-6)
        assert outer_loss == pytest.approx(float(loss), rel=1e-5)


def test_the_loss_of_a_step_is_that_before_its_update():
    data = Regressions().load_data()
    start = problem().init(RATE, data, jax.random.key(0))
    states, losses = trained(problem(), data)
    key_batch, key_loss, _ = jax.random.split(KEYS[0], 3)
    before = start.task.loss(start.params, data.sample("train", key_batch, 5), key_loss)
    assert losses[0] == pytest.approx(float(before), rel=1e-5)
    assert [float(state.opt_state.value) for state in states] == losses


@pytest.mark.parametrize("outer_split", ["train", "outer_valid"])
@pytest.mark.parametrize("changed", SPLITS)
def test_each_split_serves_its_purpose_only(outer_split, changed):
    """Training sees the train split alone, the outer loss its own split, and no one the others."""
    data = Regressions().load_data()
    states, losses = trained(problem(outer_split), data)
    other_states, other_losses = trained(problem(outer_split), tampered(data, changed))
    assert same(states[-1], other_states[-1]) == (changed != "train")
    assert (losses == other_losses) == (changed not in ("train", outer_split))


@pytest.mark.parametrize("outer_split", ["train", "outer_valid"])
def test_the_loss_of_a_state_is_on_the_outer_split(outer_split):
    data, key = Regressions().load_data(), jax.random.key(3)
    loss = lambda data: float(
        problem(outer_split).outer_loss(
            RATE, problem().init(RATE, data, jax.random.key(0)), data, key
        )
    )
    assert [loss(tampered(data, split)) != loss(data) for split in SPLITS] == [
        split == outer_split for split in SPLITS
    ]


def test_the_number_of_steps_is_announced_to_the_optimizer():
    data = Regressions().load_data()
    moved = []
    for num_steps in (None, 4):
        start = problem(num_steps=num_steps).init(RATE, data, jax.random.key(0))
        state, _ = problem(num_steps=num_steps).step(RATE, start, data, KEYS[0])
        moved.append(state.params["w"] - start.params["w"])
    np.testing.assert_allclose(moved[0], 4.0 * moved[1], rtol=1e-4)


def test_the_key_draws_the_task_and_its_start():
    data = Regressions().load_data()
    first, again, other = (problem().init(RATE, data, jax.random.key(seed)) for seed in (0, 0, 1))
    assert same(first, again)
    assert first.task.scale != other.task.scale
    assert not np.array_equal(first.params["w"], other.params["w"])


def test_delayed_gradients_arrive_in_order_after_zeros():
    delayed = dataclasses.replace(problem(), family=DelayGradient(Regressions(), steps=2))
    data = Regressions().load_data()
    states, _ = trained(delayed, data)
    start = delayed.init(RATE, data, jax.random.key(0))
    assert same(states[1].params, start.params)
    # Until something arrives, parameters stay: the third step gets the first gradient at the start.
    key_batch, key_loss, _ = jax.random.split(KEYS[0], 3)
    batch = data.sample("train", key_batch, 5)
    gradients = jax.grad(start.task.loss)(start.params, batch, key_loss)
    expected = jax.tree.map(lambda p, g: p - 0.02 * g, start.params, gradients)
    for name, value in expected.items():
        np.testing.assert_allclose(states[2].params[name], value, rtol=1e-5, atol=1e-7)
    assert not same(states[2].params, start.params)


@dataclasses.dataclass(frozen=True)
class Named(Regressions):
    """The same with the names that corruption knows."""

    def load_data(self):
        arrays = super().load_data().arrays
        named = {split: {"rows": x["x"], "y": x["y"]} for split, x in arrays.items()}
        return ArrayDataset(named)

    def sample(self, data, key):
        return NamedRegression(1.0 + jax.random.uniform(key))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NamedRegression(Regression):
    def loss(self, params, batch, key):
        return super().loss(params, {"x": batch["rows"], "y": batch["y"]}, key)


@pytest.mark.parametrize("outer_split", ["train", "outer_valid"])
def test_corruption_is_of_the_outer_loss_alone(outer_split):
    clean = dataclasses.replace(problem(outer_split), family=Named())
    noisy = dataclasses.replace(clean, corruption=Corruption(input_noise=0.5))
    data = Named().load_data()
    states, losses = trained(clean, data)
    same_states, noisy_losses = trained(noisy, data)
    assert same(states[-1], same_states[-1])
    assert all(x != y for x, y in zip(losses, noisy_losses))


def test_several_minibatches_give_the_same_outer_loss_with_less_noise():
    data = Regressions().load_data()
    start = problem().init(RATE, data, jax.random.key(0))
    keys = jax.random.split(jax.random.key(2), 400)

    def losses(outer_batches):
        several = dataclasses.replace(problem("outer_valid"), outer_batches=outer_batches)
        one = lambda key: several.outer_loss(RATE, start, data, key)
        return np.asarray(jax.jit(jax.vmap(one))(keys), np.float64)

    single, five = losses(1), losses(5)
    error = np.sqrt((single.var() + five.var()) / len(keys))
    assert abs(single.mean() - five.mean()) < 3 * error
    assert five.var() == pytest.approx(single.var() / 5, rel=4 * np.sqrt(4 / len(keys)))
