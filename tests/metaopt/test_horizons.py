"""Lengths of inner runs: their distribution, and what is refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.estimators.base import Context
from metaopt.estimators.runs import start_staggered
from metaopt.horizons import ENDLESS, Endless, Fixed, LinearCurriculum, LogUniform, Phases, Uniform
from taskset.errors import InputError

STEP = jnp.int32(0)


def draws(horizon, num, truncation):
    keys = jax.random.split(jax.random.key(0), num)
    return np.asarray(jax.vmap(lambda key: horizon.length(key, STEP, truncation))(keys))


def curriculum(horizon, outer_step, truncation):
    return int(horizon.length(jax.random.key(0), jnp.int32(outer_step), truncation))


@pytest.mark.parametrize(
    "horizon",
    [
        Fixed(200),
        Uniform(150, 400),
        LogUniform(100, 2000),
        LinearCurriculum(100, 1000, 10),
        LinearCurriculum(250, 1000, 10, jitter=0.2),
        Phases((0, 10), (100, 150), (1000, 150)),
    ],
)
def test_lengths_are_integers_within_the_bounds_and_multiples_of_the_truncation(horizon):
    found = draws(horizon, 1000, 50)
    low, high = horizon.bounds()
    assert found.dtype == np.int32
    assert low <= found.min() and found.max() <= high
    assert not np.any(found % 50)


def test_the_logarithm_is_uniform():
    num = 20_000
    logs = np.log(draws(LogUniform(100, 2000), num, 1))
    low, high = math.log(100), math.log(2000)
    stddev = (high - low) / math.sqrt(12)
    assert abs(logs.mean() - (low + high) / 2) < 4 * stddev / math.sqrt(num)
    # The variance of a sample variance of a uniform distribution: stddev^4 (9/5 - 1) / num.
    assert abs(logs.var() - stddev**2) < 4 * stddev**2 * math.sqrt(0.8 / num)
    assert set(draws(LogUniform(2, 4), 1000, 2)) == {2, 4}  # both ends are drawn


def test_phases_are_log_uniform_between_their_bounds():
    phases = Phases((0, 10, 20), (100, 40, 200), (2000, 40, 400))
    key = jax.random.key(0)
    at = lambda step: int(phases.length(key, jnp.int32(step), 1))
    assert at(0) == at(9) == int(LogUniform(100, 2000).length(key, STEP, 1))
    assert at(10) == at(19) == 40
    assert at(20) == at(10**6) == int(LogUniform(200, 400).length(key, STEP, 1))
    assert phases.bounds() == (40, 2000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0, 5), (100,), (200, 300)), "2 starts, 1 shortest and 2 longest"),
        (((1,), (100,), (200,)), r"starts are \[1\]; they have to grow from 0"),
        (((0, 5, 5), (1, 1, 1), (2, 2, 2)), "have to grow"),
        (((0,), (300,), (200,)), "shortest must be at most longest"),
    ],
)
def test_phases_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Phases(*arguments)
    with pytest.raises(InputError, match="horizon 50 is not a multiple of the truncation 20"):
        Phases((0, 1), (20, 50), (40, 80)).check(20)


def test_uniform_lengths_are_equally_likely():
    values, counts = np.unique(draws(Uniform(240, 360), 7000, 20), return_counts=True)
    assert values.tolist() == [240, 260, 280, 300, 320, 340, 360]
    assert np.all(np.abs(counts - 1000) < 4 * np.sqrt(1000 * 6 / 7))


@pytest.mark.parametrize(("outer_step", "centre"), [(0, 10), (10_000, 5005), (20_000, 10_000)])
def test_the_curriculum_of_2019_has_jitter_and_ends_with_the_episode(outer_step, centre):
    horizon = LinearCurriculum(10, 10_000, 20_000, jitter=0.2)
    keys = jax.random.split(jax.random.key(0), 4000)
    found = jax.vmap(lambda key: horizon.length(key, jnp.int32(outer_step), 1))(keys)
    low, high = round(0.8 * centre), min(round(1.2 * centre), 10_000)
    assert low <= int(found.min()) <= 0.81 * centre + 1
    assert 0.99 * high - 1 <= int(found.max()) <= high
    if high < 10_000:
        error = 0.2 * centre / np.sqrt(3 * len(keys)) + 1e-9
        assert abs(float(jnp.mean(found.astype(jnp.float32))) - centre) < 4 * error


@pytest.mark.parametrize("truncation", [1, 50, 300])
def test_a_fixed_length_is_as_given(truncation):
    assert curriculum(Fixed(200), 7, truncation) == 200


@pytest.mark.parametrize(
    ("outer_step", "expected"),
    [(0, 100), (300, 350), (500, 550), (999, 1000), (1000, 1000), (5000, 1000)],
)
def test_the_curriculum_is_linear_then_constant(outer_step, expected):
    assert curriculum(LinearCurriculum(100, 1000, 1000), outer_step, 50) == expected


def test_a_curriculum_may_go_down():
    horizon = LinearCurriculum(1000, 200, 10)
    assert horizon.bounds() == (200, 1000)
    assert [curriculum(horizon, step, 10) for step in (0, 5, 10)] == [1000, 600, 200]


def test_a_length_is_never_zero():
    assert curriculum(LinearCurriculum(1, 10, 10), 0, 10) == 10


@pytest.mark.parametrize(
    ("horizon", "truncation", "message"),
    [
        (Fixed(200), 0, "truncation is 0; it must be at least 1 inner step"),
        (Fixed(200), 30, "horizon 200 is not a multiple of the truncation 30; use 210, or a "
         "truncation that divides 200"),
        (Fixed(10), 30, "horizon 10 is not a multiple of the truncation 30; use 30, or a "
         "truncation that divides 10"),
        (LogUniform(100, 1999), 50, "horizon 1999 is not a multiple of the truncation 50; "
         "use 2000, or a truncation that divides 1999"),
    ],
)  # fmt: skip
def test_what_does_not_divide_is_refused_with_what_does(horizon, truncation, message):
    with pytest.raises(InputError) as raised:
        horizon.check(truncation)
    assert str(raised.value) == message


@pytest.mark.parametrize("horizon", [Fixed(200), Uniform(), LogUniform(), LinearCurriculum()])
def test_what_divides_is_accepted(horizon):
    horizon.check(20)
    with pytest.raises(InputError):
        horizon.check(35)


def test_endless_runs_never_end_and_begin_together():
    horizon = Endless()
    horizon.check(7)
    with pytest.raises(InputError, match="truncation is 0"):
        horizon.check(0)
    started = start_staggered(lambda key: key, horizon, 7, 5, jax.random.key(0), Context())
    assert started.age.tolist() == [0] * 5 and started.length.tolist() == [ENDLESS] * 5
