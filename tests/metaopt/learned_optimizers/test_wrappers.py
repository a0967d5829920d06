"""Learning rate, decoupled weight decay and masks around a learned optimizer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.learned_optimizers import FactoredMLP, Hierarchical, LearnableSGD
from metaopt.learned_optimizers.wrappers import wrapped

PARAMS = {"a": {"w": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(2)}, "c": jnp.ones(3)}
MASK = {"a": True, "c": False}  # a prefix: all of "a"


def transformation(optimizer):
    return optimizer.as_optax(optimizer.init(jax.random.key(0)))


def updates_of(transformation, num_steps=1):
    state, update = transformation.init(PARAMS), jax.jit(transformation.update)
    for _ in range(num_steps):
        updates, state = update(PARAMS, state, PARAMS)
    return updates


def test_weight_decay_is_beside_the_optimizer_and_scaled_with_it():
    plain = updates_of(transformation(LearnableSGD()))
    found = updates_of(wrapped(transformation(LearnableSGD()), learning_rate=0.5, weight_decay=0.2))
    for u, p, x in zip(*map(jax.tree.leaves, (plain, PARAMS, found)), strict=True):
        np.testing.assert_allclose(x, 0.5 * (u - 0.2 * p), rtol=1e-6)


def test_a_schedule_sees_the_step():
    plain = updates_of(transformation(LearnableSGD()))
    schedule = lambda step: jnp.where(step < 2, 1.0, 0.25)
    found = updates_of(wrapped(transformation(LearnableSGD()), learning_rate=schedule), num_steps=4)
    np.testing.assert_allclose(found["c"], 0.25 * plain["c"], rtol=1e-6)


@pytest.mark.parametrize("optimizer", [FactoredMLP(), Hierarchical()], ids=["flat", "hierarchical"])
@pytest.mark.parametrize("mask", [MASK, lambda params: MASK], ids=["tree", "function"])
def test_masked_tensors_do_not_move_and_are_not_seen(optimizer, mask):
    found = updates_of(wrapped(transformation(optimizer), weight_decay=0.1, mask=mask))
    np.testing.assert_array_equal(found["c"], np.zeros(3))
    alone = transformation(optimizer)
    expected, _ = alone.update(PARAMS["a"], alone.init(PARAMS["a"]), PARAMS["a"])
    for u, p, x in zip(*map(jax.tree.leaves, (expected, PARAMS["a"], found["a"])), strict=True):
        np.testing.assert_allclose(x, u - 0.1 * p, rtol=1e-4, atol=1e-7)


def test_types_of_the_state_stay():
    around = wrapped(transformation(FactoredMLP()), learning_rate=lambda step: 0.5, mask=MASK)
    state = around.init(PARAMS)
    _, after = around.update(PARAMS, state, PARAMS)
    types = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
    assert types(after) == types(state)
