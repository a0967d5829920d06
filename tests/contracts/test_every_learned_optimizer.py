"""What every learned optimizer promises, the optax contract above all."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_optimizers import small

from metaopt.learned_optimizers import KINDS

START_AT_DEFAULTS = {"LearnableAdam", "LearnableMomentum", "LearnableSGD"}  # nothing is drawn
MATRIX_AND_VECTOR = {"a": jnp.linspace(-1, 1, 12).reshape(3, 4), "b": {"c": jnp.linspace(0, 1, 4)}}
TREES = {
    "nested": MATRIX_AND_VECTOR,
    "empty": {},
    "scalar": jnp.float32(1.0),
    "zero_size": {"a": jnp.zeros((0, 3)), "b": jnp.ones(2)},
    "kernel": (jnp.ones((2, 3, 4, 5)), None),
    "bfloat16": jax.tree.map(lambda x: x.astype(jnp.bfloat16), MATRIX_AND_VECTOR),
}


@pytest.fixture(params=KINDS)
def optimizer(request):
    return small(request.param)


@pytest.fixture
def transformation(optimizer):
    return compiled(optimizer)


@functools.cache
def compiled(optimizer):
    """The transformation of untrained weights, compiled once for all tests."""
    transformation = optimizer.as_optax(optimizer.init(jax.random.key(0)), num_steps=10)
    update = jax.jit(transformation.update)
    return optax.GradientTransformationExtraArgs(transformation.init, update)


@pytest.fixture(params=TREES.values(), ids=TREES)
def params(request):
    return request.param


def types(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


def test_pickles_to_an_equal_value_of_equal_hash(optimizer):
    copy = pickle.loads(pickle.dumps(optimizer))
    assert copy == optimizer and hash(copy) == hash(optimizer)


def test_meta_params_are_float32_and_drawn_by_key(optimizer):
    first, second = optimizer.init(jax.random.key(0)), optimizer.init(jax.random.key(1))
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(first))
    if type(optimizer).__name__ in START_AT_DEFAULTS:
        return
    assert any(
        bool(jnp.any(x != y)) for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(second))
    )


def test_updates_and_state_keep_their_types(transformation, params):
    state = transformation.init(params)
    gradients = jax.tree.map(jnp.ones_like, params)
    updates, after = transformation.update(gradients, state, params)
    assert types(after) == types(state)
    assert types(updates) == types(gradients)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(updates))
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(state))


def test_value_and_unknown_arguments_are_optional(transformation):
    params = MATRIX_AND_VECTOR
    state = transformation.init(params)
    plain, _ = transformation.update(params, state, params)
    extra, _ = transformation.update(params, state, params, value=jnp.float32(3.0), surprise=1)
    assert types(plain) == types(extra)


def test_params_are_required(transformation):
    with pytest.raises(ValueError, match="params"):
        transformation.update(MATRIX_AND_VECTOR, transformation.init(MATRIX_AND_VECTOR))


def test_compiles_once(transformation):
    traces = []

    @jax.jit
    def update(gradients, state, params):
        traces.append(1)
        return transformation.update(gradients, state, params)

    state = transformation.init(MATRIX_AND_VECTOR)
    for _ in range(3):
        _, state = update(MATRIX_AND_VECTOR, state, MATRIX_AND_VECTOR)
    assert len(traces) == 1


def test_scan_is_a_loop(transformation):
    def step(carry, _):
        params, state = carry
        updates, state = transformation.update(params, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (MATRIX_AND_VECTOR, transformation.init(MATRIX_AND_VECTOR))
    scanned, _ = jax.lax.scan(step, start, length=3)
    looped = start
    for _ in range(3):
        looped, _ = step(looped, None)
    for x, y in zip(jax.tree.leaves(scanned), jax.tree.leaves(looped), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_vmap_over_meta_params_is_a_loop(optimizer):
    keys = jax.random.split(jax.random.key(0), 3)
    many = jax.vmap(optimizer.init)(keys)

    @jax.jit
    def update(meta_params):
        transformation = optimizer.as_optax(meta_params)
        state = transformation.init(MATRIX_AND_VECTOR)
        return transformation.update(MATRIX_AND_VECTOR, state, MATRIX_AND_VECTOR)[0]

    together = jax.vmap(update)(many)
    for index, key in enumerate(keys):
        alone = update(optimizer.init(key))
        for x, y in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(x[index], y, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_branches_of_cond_agree(transformation, dtype):
    params = jax.tree.map(lambda x: x.astype(dtype), MATRIX_AND_VECTOR)

    @jax.jit
    def maybe(flag, state):
        update = lambda: transformation.update(params, state, params)
        return jax.lax.cond(flag, update, lambda: (params, state))

    state = transformation.init(params)
    updates, _ = maybe(True, state)
    assert types(updates) == types(params)


def test_inside_multi_steps_and_masked(transformation):
    with jax.numpy_dtype_promotion("standard"):
        every_second = optax.MultiSteps(transformation, 2)
        state, update = every_second.init(MATRIX_AND_VECTOR), jax.jit(every_second.update)
        first, state = update(MATRIX_AND_VECTOR, state, MATRIX_AND_VECTOR)
        second, _ = update(MATRIX_AND_VECTOR, state, MATRIX_AND_VECTOR)
    assert all(not bool(jnp.any(x)) for x in jax.tree.leaves(first))
    assert all(bool(jnp.any(x)) for x in jax.tree.leaves(second))

    masked = optax.masked(transformation, {"a": True, "b": {"c": False}})
    updates, _ = masked.update(MATRIX_AND_VECTOR, masked.init(MATRIX_AND_VECTOR), MATRIX_AND_VECTOR)
    np.testing.assert_array_equal(updates["b"]["c"], MATRIX_AND_VECTOR["b"]["c"])
    assert bool(jnp.any(updates["a"] != MATRIX_AND_VECTOR["a"]))


def test_inject_hyperparams(optimizer):
    meta_params = optimizer.init(jax.random.key(0))

    def scaled(learning_rate):
        return optax.chain(optimizer.as_optax(meta_params), optax.scale(learning_rate))

    injected = optax.inject_hyperparams(scaled)(learning_rate=0.5)
    state = injected.init(MATRIX_AND_VECTOR)
    updates, _ = injected.update(MATRIX_AND_VECTOR, state, MATRIX_AND_VECTOR)
    plain = optimizer.as_optax(meta_params)
    expected, _ = plain.update(MATRIX_AND_VECTOR, plain.init(MATRIX_AND_VECTOR), MATRIX_AND_VECTOR)
    for x, y in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, 0.5 * y, rtol=1e-5, atol=1e-9)


def test_map_params_over_the_state(transformation):
    state = transformation.init(MATRIX_AND_VECTOR)
    mapped = optax.tree.map_params(transformation, lambda x: x, state)
    assert types(mapped) == types(state)


def test_state_survives_serialisation(transformation):
    flax = pytest.importorskip("flax")
    state = transformation.init(MATRIX_AND_VECTOR)
    _, state = transformation.update(MATRIX_AND_VECTOR, state, MATRIX_AND_VECTOR)
    restored = flax.serialization.from_bytes(state, flax.serialization.to_bytes(state))
    first, _ = transformation.update(MATRIX_AND_VECTOR, state, MATRIX_AND_VECTOR)
    second, _ = transformation.update(MATRIX_AND_VECTOR, restored, MATRIX_AND_VECTOR)
    for x, y in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(x, y)
