"""Search spaces as optax transformations, and in the place of learned optimizers."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt import held_out
from metaopt.baselines import search_spaces
from metaopt.baselines.optimizers import SearchSpace, build, optimizer, stack
from metaopt.inner_problem import OptimizerTraining
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily

NUM_STEPS = 6
SPACES = (*search_spaces.names(), "zero")
MATRIX_AND_VECTOR = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": {"c": jnp.linspace(0, 1, 4)}}
MIXED = {
    "bfloat16": jnp.linspace(-1, 1, 6).astype(jnp.bfloat16).reshape(2, 3),
    "float32": (jnp.float32(2.0), None),
    "zero_size": jnp.zeros((0, 3)),
}


def name_in(space, seed=0):
    return space if space == "zero" else f"{space}_seed{seed}"


def types(tree):
    return jax.tree.map(lambda x: (x.shape, x.dtype, x.weak_type), tree)


def run(transformation, num_steps=3):
    """The updates of some steps with changing gradients, stacked."""

    def step(state, scale):
        gradients = jax.tree.map(lambda p: jnp.sin(scale * p), MATRIX_AND_VECTOR)
        updates, state = transformation.update(gradients, state, MATRIX_AND_VECTOR)
        return state, updates

    scales = jnp.arange(1.0, num_steps + 1)
    return jax.lax.scan(step, transformation.init(MATRIX_AND_VECTOR), scales)[1]


@pytest.mark.parametrize("params", [MATRIX_AND_VECTOR, MIXED, {}], ids=["tree", "mixed", "empty"])
@pytest.mark.parametrize("space", SPACES)
def test_updates_and_state_keep_their_types(space, params):
    transformation = optimizer(name_in(space), NUM_STEPS)
    state = transformation.init(params)
    gradients = jax.tree.map(jnp.ones_like, params)
    updates, after = jax.jit(transformation.update)(gradients, state, params)
    assert types(after) == types(state)
    assert types(updates) == types(gradients)
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(updates))


@pytest.mark.parametrize("space", SPACES)
def test_other_arguments_are_optional_and_params_are_not(space):
    transformation = optimizer(name_in(space), NUM_STEPS)
    state = transformation.init(MATRIX_AND_VECTOR)
    arguments = (MATRIX_AND_VECTOR, state, MATRIX_AND_VECTOR)
    plain, _ = transformation.update(*arguments)
    extra, _ = transformation.update(*arguments, value=jnp.float32(3.0), surprise=1)
    for x, y in zip(jax.tree.leaves(plain), jax.tree.leaves(extra), strict=True):
        np.testing.assert_array_equal(x, y)
    with pytest.raises(ValueError, match="params"):
        transformation.update(MATRIX_AND_VECTOR, state)


@pytest.mark.parametrize("space", search_spaces.names())
def test_a_stack_of_configurations_is_each_of_them(space):
    names = [name_in(space, seed) for seed in range(10)]
    optimizers = SearchSpace(space)
    together = jax.jit(jax.vmap(lambda h: run(optimizers.as_optax(h, num_steps=NUM_STEPS))))
    found = together(stack(names))
    for index, name in enumerate(names):
        alone = run(optimizer(name, NUM_STEPS))
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(alone), strict=True):
            size = float(jnp.max(jnp.abs(y)))
            np.testing.assert_allclose(x[index], y, rtol=1e-5, atol=1e-6 * size)


def test_a_search_space_runs_in_the_place_of_a_learned_optimizer():
    family = QuadraticFamily(dim=3)
    problem = OptimizerTraining(family, SearchSpace("nadamw_grid"), num_steps=NUM_STEPS)
    keys, data = held_out.evaluation_keys("report", (0, 1)), family.load_data()
    names = [name_in("nadamw_grid", seed) for seed in (251, 611, 799)]
    found = held_out.train(problem, stack(names), data, keys, NUM_STEPS)
    assert found.curves.shape == (3, 2, NUM_STEPS)
    for index, name in enumerate(names):
        alone = held_out.train(problem, stack([name]), data, keys, NUM_STEPS)
        np.testing.assert_allclose(found.curves[index], alone.curves[0], rtol=1e-5)
    assert len(set(np.asarray(found.curves[:, 0, -1]).tolist())) == 3


def test_fixed_rates_belong_to_a_space():
    many = stack(["adam_lr_-3.50", "adam1p_wide_grid_seed0", "adam_lr_1.00"])
    drawn = search_spaces.sample("adam1p_wide_grid", 0)["learning_rate"]
    np.testing.assert_allclose(many["learning_rate"], [10**-3.5, drawn, 10.0], rtol=1e-7)


@pytest.mark.parametrize("space", SPACES)
def test_meta_parameters_are_a_released_configuration(space):
    space = SearchSpace(space)
    drawn = jax.jit(jax.vmap(space.init))(jax.random.split(jax.random.key(0), 20))
    assert all(x.dtype == jnp.float32 and x.shape == (20,) for x in drawn.values())
    if space.name != "zero":
        released = stack([name_in(space.name, seed) for seed in range(1000)])
        rows = {tuple(row) for row in zip(*(np.asarray(x).tolist() for x in released.values()))}
        found = {tuple(row) for row in zip(*(np.asarray(drawn[k]).tolist() for k in released))}
        assert found <= rows and len(found) > 15


def test_pickles_to_an_equal_value_of_equal_hash():
    space = SearchSpace("nadamw_grid", "released")
    copy = pickle.loads(pickle.dumps(space))
    assert copy == space != SearchSpace("nadamw_grid") and hash(copy) == hash(space)


@pytest.mark.parametrize("num_steps", [None, 0, -1])
@pytest.mark.parametrize("space", ["adam6p_wide_grid", "adam8p_wide_grid", "nadamw_grid"])
def test_schedules_need_the_length_of_training(space, num_steps):
    with pytest.raises(InputError, match=f"num_steps is {num_steps}; {space} needs the length"):
        optimizer(name_in(space), num_steps)


def test_the_released_adam8p_is_not_told_the_length_of_training():
    name = "adam8p_wide_grid_seed3"
    untold, told = (run(optimizer(name, length, "released")) for length in (None, NUM_STEPS))
    np.testing.assert_array_equal(untold["a"], told["a"])


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: build("adam_wide_grid", {}), "unknown search space 'adam_wide_grid'; did you"),
        (lambda: build("zero", {}, fidelity="exact"), "unknown fidelity 'exact'; valid: intended"),
        (lambda: build("zero", {"l2": 0.1}), "of zero are l2; give none"),
        (lambda: build("adam1p_wide_grid", {}), "are none; give learning_rate"),
        (lambda: optimizer("adam8p_wide_grid_seed"), "unknown optimizer"),
        (lambda: stack([]), "configurations of one optimizer, got none"),
        (lambda: stack(["zero", "adam_lr_0.00"]), "got adam1p_wide_grid, zero"),
        (lambda: SearchSpace("nadamw_grit"), "did you mean 'nadamw_grid'"),
        (lambda: SearchSpace("zero", "exact"), "unknown fidelity"),
    ],
)
def test_bad_input_is_refused(attempt, message):
    with pytest.raises(InputError, match=message):
        attempt()
