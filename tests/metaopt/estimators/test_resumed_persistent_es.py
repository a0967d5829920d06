"""Runs that go on from states of earlier ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Line, starting_together

from metaopt.estimators import PersistentES, ResumedPersistentES
from metaopt.horizons import Fixed
from taskset.base import NoData
from taskset.errors import InputError

RISING, FALLING = jnp.float32(0.7), jnp.float32(-0.7)  # x_{t+1} = x_t + theta, and x is the loss
RUNS = {"problem": Line(), "num_tasks": 64, "truncation": 2, "horizon": Fixed(6), "stddev": 1e-4}


@functools.cache
def compiled(estimator):
    return jax.jit(estimator.init), jax.jit(estimator.estimate)


def states_of(estimator, theta, num_calls):
    """The states before the first call and after each, all runs starting together."""
    init, estimate = compiled(estimator)
    states = [starting_together(init(theta, NoData(), jax.random.key(0)))]
    for key in jax.random.split(jax.random.key(1), num_calls):
        states.append(estimate(theta, states[-1], NoData(), key)[1])
    return states


def test_with_an_empty_memory_or_only_fresh_runs_it_is_persistent_es():
    """Ages, positions and sums of perturbations are those of PES; the draws of runs are not."""
    fresh = states_of(ResumedPersistentES(**RUNS, fresh_share=1.0), RISING, 4)
    plain = states_of(PersistentES(**RUNS), RISING, 4)
    for one, other in zip(fresh, plain, strict=True):
        np.testing.assert_array_equal(one.age, other.age)
        np.testing.assert_array_equal(one.state.states, other.state.states)
        np.testing.assert_array_equal(one.state.total_noise, other.state.total_noise)


def test_a_resumed_run_takes_over_state_and_sum_of_perturbations():
    """A rising line struggles in truncations 2 and 3: starts of both are kept, at 2 and 4 steps."""
    states = states_of(ResumedPersistentES(**RUNS, fresh_share=0.0), RISING, 4)
    memory = states[3].state.memory
    assert set(np.asarray(memory.num_kept)) == {2}
    np.testing.assert_array_equal(memory.kept.age, np.tile([2, 4], (64, 1)))
    for slot, before in enumerate(states[1:3]):
        np.testing.assert_array_equal(memory.kept.state.states[:, slot], before.state.states)
        np.testing.assert_allclose(
            memory.kept.state.total_noise[:, slot], before.state.total_noise, atol=1e-9
        )
    after = states[4]
    assert set(np.asarray(after.age)) == {2 + 2, 4 + 2}
    np.testing.assert_array_equal(after.length, after.age + 4)  # six more steps, of which two done
    slot = (np.asarray(after.age) - 2) // 2 - 1
    taken = np.asarray(memory.kept.state.total_noise)[np.arange(64), slot]
    expected = taken + np.asarray(after.state.noise)
    np.testing.assert_allclose(after.state.total_noise, expected, atol=1e-9)
    moved = 2 * (RISING + np.asarray(after.state.noise))
    start = np.asarray(memory.kept.state.states)[np.arange(64), slot, 0]
    np.testing.assert_allclose(after.state.states[:, 0], start + moved, rtol=1e-5)


def test_a_run_that_gets_better_is_kept_at_its_end_only():
    states = states_of(ResumedPersistentES(**RUNS, fresh_share=0.0), FALLING, 3)
    assert [int(s.state.memory.num_kept[0]) for s in states] == [0, 0, 0, 1]
    assert set(np.asarray(states[3].state.memory.kept.age[:, 0])) == {4}


def test_the_share_of_fresh_runs():
    shares = ResumedPersistentES(**RUNS | {"num_tasks": 4000}, fresh_share=0.25)
    after = states_of(shares, RISING, 4)[4]
    assert abs(np.mean(after.age == 2) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4000)


@pytest.mark.parametrize("change", [{"fresh_share": 1.5}, {"buffer_size": 0}])
def test_out_of_range_is_refused(change):
    with pytest.raises(InputError, match=next(iter(change))):
        ResumedPersistentES(**RUNS, **change)
