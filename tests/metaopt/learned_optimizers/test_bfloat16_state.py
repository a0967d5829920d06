"""Accumulators of half the size: right on average, and nothing else is touched."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt.learned_optimizers import Hierarchical, LearnableAdam
from metaopt.learned_optimizers.bfloat16_state import stochastically_rounded
from metaopt.learned_optimizers.wrappers import wrapped
from taskset.errors import InputError

PARAMS = {"w": jnp.linspace(-1, 1, 12).reshape(3, 4), "b": jnp.ones(3)}


def transformation(optimizer):
    return optimizer.as_optax(optimizer.init(jax.random.key(0)))


def test_only_what_is_kept_of_parameters_is_narrow():
    around = wrapped(transformation(Hierarchical()), accumulator_dtype="bfloat16")
    plain = transformation(Hierarchical()).init(PARAMS)
    state = around.init(PARAMS)
    assert state.step.dtype == jnp.int32
    kept = state.inner.inner
    for trees in (kept.momentum, kept.second_moment):
        assert {x.dtype for x in jax.tree.leaves(trees)} == {jnp.dtype(jnp.bfloat16)}
    of_tensors = lambda x: x._replace(momentum=(), second_moment=())
    types = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert types(of_tensors(kept)) == types(of_tensors(plain))


def test_types_of_the_state_stay_and_steps_are_counted():
    around = wrapped(transformation(LearnableAdam()), accumulator_dtype="bfloat16")
    state = around.init(PARAMS)
    types = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)
    before = types(state)
    for _ in range(3):
        _, state = around.update(PARAMS, state, PARAMS)
    assert types(state) == before
    assert int(state.inner.inner.step) == 3


def test_rounding_is_to_a_neighbour_and_right_on_average():
    x = jnp.asarray([1.0, 1.001, -3.3, 1e-20, 0.0, 1e30], jnp.float32)
    rounded = jax.vmap(lambda step: stochastically_rounded(x, step))(jnp.arange(4000))
    found = np.asarray(rounded.astype(jnp.float32), np.float64)
    exact = np.asarray(x, np.float64)
    assert np.all(np.abs(found - exact) <= 2.0**-7 * np.abs(exact))
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - exact) <= 4 * error)
    assert np.all(found[:, [0, 4]] == exact[[0, 4]])  # those that bfloat16 holds


def test_what_is_not_finite_stays_so():
    x = jnp.asarray([jnp.inf, -jnp.inf, jnp.nan])
    np.testing.assert_array_equal(stochastically_rounded(x, jnp.int32(5)).astype(jnp.float32), x)


def test_long_averages_do_not_stand_still():
    """The second moment of Adam, decay .999: rounded to the nearest, it would never fall."""
    around = wrapped(transformation(LearnableAdam()), accumulator_dtype="bfloat16")
    state, zeros = around.init(PARAMS), jax.tree.map(jnp.zeros_like, PARAMS)
    _, state = around.update(jax.tree.map(jnp.ones_like, PARAMS), state, PARAMS)
    step = lambda state, _: (around.update(zeros, state, PARAMS)[1], None)
    state, _ = jax.lax.scan(step, state, length=1000)
    _, second = state.inner.inner.accumulators
    expected = 1e-3 * 0.999**1000
    np.testing.assert_allclose(second["w"].astype(jnp.float32).mean(), expected, rtol=0.05)


def test_training_is_near_that_with_float32():
    def run(accumulator_dtype):
        optimizer = LearnableAdam(learning_rate=0.05)
        around = wrapped(transformation(optimizer), accumulator_dtype=accumulator_dtype)

        def step(carry, key):
            params, state = carry
            noise = jax.random.normal(key, params.shape)
            updates, state = around.update(params - 2.0 + 0.1 * noise, state, params)
            return (optax.apply_updates(params, updates), state), jnp.mean((params - 2.0) ** 2)

        start = jnp.zeros((8, 8))
        keys = jax.random.split(jax.random.key(1), 200)
        return jax.lax.scan(step, (start, around.init(start)), keys)[1]

    narrow, wide = run("bfloat16"), run("float32")
    np.testing.assert_allclose(narrow[::20], wide[::20], rtol=0.05, atol=2e-3)


def test_another_dtype_is_refused():
    with pytest.raises(InputError, match="unknown accumulator_dtype 'float16'"):
        wrapped(transformation(LearnableAdam()), accumulator_dtype="float16")
