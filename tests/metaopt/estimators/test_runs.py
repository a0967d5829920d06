"""The bookkeeping of inner runs: when they start, end, and what counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import InfluenceBalancing, Line

from metaopt.estimators import Context, runs
from metaopt.estimators.rematerialisation import scan
from metaopt.horizons import Fixed, LinearCurriculum, LogUniform
from taskset.base import NoData

KEY = jax.random.key(0)
NEW = -1.0


def start(key):
    """The state of a new run, told from any other by its sign."""
    return {"drawn": NEW * jax.random.uniform(key, minval=0.1)}


def run(age, length):
    return runs.Run(jnp.int32(age), jnp.int32(length), {"drawn": jnp.float32(7.0)})


@functools.cache
def staggered(horizon, truncation, num_tasks, seed=0):
    key = jax.random.key(seed)
    return runs.start_staggered(start, horizon, truncation, num_tasks, key, Context())


@pytest.mark.parametrize(("num_tasks", "counts"), [(4, [1] * 4), (8, [2] * 4), (20, [5] * 4)])
def test_ages_are_spread_evenly_over_the_truncations_of_a_run(num_tasks, counts):
    found = staggered(Fixed(20), 5, num_tasks)
    values, number = np.unique(found.age, return_counts=True)
    assert values.tolist() == [0, 5, 10, 15]
    assert number.tolist() == counts
    np.testing.assert_array_equal(found.length, np.full(num_tasks, 20))


def test_the_phase_is_random_so_few_runs_cover_all_ages_over_workers():
    ages = [int(staggered(Fixed(20), 5, 1, seed).age[0]) for seed in range(40)]
    assert set(ages) == {0, 5, 10, 15}


def test_ages_are_within_lengths_that_differ():
    found = staggered(LogUniform(5, 80), 5, 64)
    assert len(np.unique(found.length)) > 8
    assert np.all((found.age >= 0) & (found.age < found.length))
    assert not np.any(found.age % 5)


def test_a_last_truncation_that_is_partly_beyond_the_end_is_one_of_the_ages():
    assert sorted(staggered(Fixed(7), 3, 3).age.tolist()) == [0, 3, 6]


def test_staggered_runs_are_new_and_drawn_apart():
    drawn = np.asarray(staggered(Fixed(20), 5, 8).state["drawn"])
    assert np.all(drawn < 0) and len(np.unique(drawn)) == 8


@pytest.mark.parametrize(("age", "ended"), [(0, False), (19, False), (20, True), (25, True)])
def test_a_run_starts_anew_when_its_age_has_reached_its_length(age, ended):
    before = run(age, 20)
    after = runs.restart_ended(before, start, Fixed(30), 5, KEY, Context())
    if ended:
        assert (int(after.age), int(after.length)) == (0, 30)
        assert after.state["drawn"] < 0
    else:
        assert (int(after.age), int(after.length), float(after.state["drawn"])) == (age, 20, 7.0)


@pytest.mark.parametrize(("outer_step", "length"), [(0, 10), (5, 20), (50, 30)])
def test_the_length_of_a_new_run_is_that_of_the_outer_step(outer_step, length):
    horizon = LinearCurriculum(10, 30, 10)
    context = Context(np.int32(outer_step))
    assert int(runs.restart_ended(run(9, 9), start, horizon, 5, KEY, context).length) == length
    new = runs.start_staggered(start, horizon, 5, 2, KEY, context)
    assert new.length.tolist() == [length, length]


def test_a_run_ages_by_a_truncation_and_ends_when_it_is_not_usable():
    state = {"drawn": jnp.float32(3.0)}
    good = runs.advance(run(5, 20), state, 5, jnp.asarray(True))
    bad = runs.advance(run(5, 20), state, 5, jnp.asarray(False))
    assert (int(good.age), int(good.length)) == (10, 20)
    assert (int(bad.age), int(bad.length)) == (20, 20)
    assert good.state is state


@pytest.mark.parametrize(("age", "num_within"), [(0, 3), (3, 3), (6, 2), (7, 1), (8, 0)])
def test_steps_within_a_run_of_eight(age, num_within):
    expected = [index < num_within for index in range(3)]
    assert runs.within(run(age, 8), 3).tolist() == expected


def test_the_mean_is_over_the_steps_within_even_beside_nan():
    losses = jnp.asarray([1.0, 4.0, jnp.nan])
    within = jnp.asarray([True, True, False])
    assert runs.mean_within(losses, within) == 2.5
    slope = jax.grad(lambda x: runs.mean_within(x, within))(losses)
    np.testing.assert_array_equal(slope, [0.5, 0.5, 0.0])
    assert jnp.isnan(runs.mean_within(losses, jnp.ones(3, bool)))


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_losses_are_finite_when_those_within_are_for_both_signs(bad):
    losses = jnp.asarray([[1.0, 2.0, bad], [1.0, 2.0, 3.0]])
    assert runs.all_finite(losses, jnp.asarray([True, True, False]))
    assert not runs.all_finite(losses, jnp.asarray([True, True, True]))
    assert runs.all_finite(losses[1], jnp.asarray([True, True, True]))


@pytest.mark.parametrize("remat", ["none", "step", "sqrt", "treeverse"])
@pytest.mark.parametrize("num_steps", [1, 4, 7])
def test_an_unroll_is_a_loop_over_steps(remat, num_steps):
    problem, theta, state = InfluenceBalancing(), jnp.float32(0.5), jnp.ones(23)
    found = runs.unroll(problem, theta, state, NoData(), KEY, num_steps, remat)
    losses = []
    for key in jax.random.split(KEY, num_steps):
        state, loss = problem.step(theta, state, NoData(), key)
        losses.append(loss)
    np.testing.assert_allclose(found[0], state, rtol=1e-6)
    np.testing.assert_allclose(found[1], jnp.stack(losses), rtol=1e-6)


def test_the_losses_of_an_unroll_go_on_from_its_state():
    problem, theta = Line(), jnp.float32(2.0)
    state, first = runs.unroll(problem, theta, jnp.zeros(()), NoData(), KEY, 3)
    _, second = runs.unroll(problem, theta, state, NoData(), KEY, 2)
    assert first.tolist() + second.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]


def test_what_rematerialisation_keeps():
    """In states: all; 2 sqrt(n); 2 log2(n); and some that the program needs besides."""

    def loss(state, remat):
        step = lambda state, key: (jnp.sin(state), None)
        return jnp.sum(scan(step, state, jax.random.split(KEY, 1024), remat)[0])

    state = jnp.ones(10_000)
    program = jax.jit(jax.grad(loss), static_argnums=1)
    for remat, states in {"step": 1024, "sqrt": 64, "treeverse": 20}.items():
        memory = program.lower(state, remat).compile().memory_analysis()
        assert 0.95 * states < memory.temp_size_in_bytes / state.nbytes < states + 12
