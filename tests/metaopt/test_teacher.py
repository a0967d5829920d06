"""Progressive teacher forcing: shares, losses and steps against the formulas, and its use."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt.estimators import PersistentES, TruncatedBackprop
from metaopt.estimators.base import Context
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import LearnableSGD
from metaopt.teacher import Teacher
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily

MOMENTUM = Teacher("momentum", learning_rate=0.2, full_until=10, gone_at=30)
FAMILY, SGD = QuadraticFamily(dim=3), LearnableSGD(learning_rate=0.05)
META_PARAMS = SGD.init(jax.random.key(0))
DATA, KEY = FAMILY.load_data(), jax.random.key(1)


def taught(outer_step, teacher=MOMENTUM):
    return OptimizerTraining(FAMILY, SGD, teacher=teacher).at(jnp.int32(outer_step))


def test_the_share_falls_from_one_to_zero():
    shares = [float(MOMENTUM.share(step)) for step in (0, 10, 15, 20, 30, 1000)]
    np.testing.assert_allclose(shares, [1, 1, 0.75, 0.5, 0, 0])


@pytest.mark.parametrize(("outer_step", "share"), [(0, 1.0), (20, 0.5), (30, 0.0)])
def test_steps_and_losses_are_those_of_the_formula(outer_step, share):
    """Against numpy: momentum and gradient descent from one gradient, twice."""
    problem = taught(outer_step)
    state = problem.init(META_PARAMS, DATA, KEY)
    velocity = np.zeros(3)
    for key in jax.random.split(KEY, 2):
        batch_loss = lambda p, task=state.task: task.loss(p, None, KEY)
        task_loss, gradient = jax.value_and_grad(batch_loss)(state.params)
        gradient, params = np.asarray(gradient, np.float64), np.asarray(state.params, np.float64)
        velocity = 0.9 * velocity + gradient
        expert, own = -0.2 * velocity, -0.05 * gradient
        cosine = expert @ own / np.linalg.norm(expert) / np.linalg.norm(own)
        apart = np.sum(np.abs(np.abs(expert) - np.abs(own))) / np.sum(np.abs(expert))
        expected = share * (0.7 * (1 - cosine) + 0.3 * apart) + (1 - share) * float(task_loss)
        state, loss = problem.step(META_PARAMS, state, DATA, key)
        np.testing.assert_allclose(
            state.params, params + share * expert + (1 - share) * own, rtol=1e-4
        )
        np.testing.assert_allclose(loss, expected, rtol=1e-4, atol=1e-6)


def test_an_estimator_passes_the_outer_step_on():
    """At full share the run is the expert's, afterwards that of a problem without teacher."""
    with_teacher = PersistentES(taught(0), 4, 2, Fixed(4))
    without = PersistentES(OptimizerTraining(FAMILY, SGD), 4, 2, Fixed(4))
    init = jax.jit(with_teacher.init)
    estimate = jax.jit(with_teacher.estimate)
    start = init(META_PARAMS, DATA, KEY)
    forced, forced_state = estimate(META_PARAMS, start, DATA, KEY, Context(np.int32(0)))
    free, free_state = estimate(META_PARAMS, start, DATA, KEY, Context(np.int32(30)))
    plain, plain_state = jax.jit(without.estimate)(
        META_PARAMS, jax.jit(without.init)(META_PARAMS, DATA, KEY), DATA, KEY, Context()
    )
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, free.gradient, plain.gradient)
    close(free_state.state.states.params, plain_state.state.states.params)
    # The expert alone moves the parameters, so both signs of a pair go the same way.
    positive, negative = jnp.moveaxis(forced_state.state.states.params, 1, 0)
    close(positive, negative)
    assert not np.allclose(*jnp.moveaxis(free_state.state.states.params, 1, 0), atol=1e-6)
    assert float(forced.weight) == 4


def test_imitation_finds_the_rate_of_the_expert():
    """Of an expert that is plain gradient descent, cosine and sizes say its rate exactly."""
    teacher = Teacher("momentum", learning_rate=0.2, decay=0.0, full_until=10**6, gone_at=10**7)
    estimator = TruncatedBackprop(taught(0, teacher), 4, 4, Fixed(4))
    optimizer = optax.adam(0.05)

    def outer_step(carry: Any, key: jax.Array):
        meta_params, opt_state, state = carry
        estimate, state = estimator.estimate(meta_params, state, DATA, key)
        updates, opt_state = optimizer.update(estimate.gradient, opt_state)
        return (optax.apply_updates(meta_params, updates), opt_state, state), None

    start = (META_PARAMS, optimizer.init(META_PARAMS), estimator.init(META_PARAMS, DATA, KEY))
    with jax.numpy_dtype_promotion("standard"):
        train = jax.jit(lambda start: jax.lax.scan(outer_step, start, jax.random.split(KEY, 150)))
        (found, _, _), _ = train(start)
    zero = jnp.zeros(3)
    rule = SGD.as_optax(found)
    updates, _ = rule.update(jnp.ones(3), rule.init(zero), zero)
    np.testing.assert_allclose(np.asarray(updates), -0.2, rtol=0.1)


def test_a_problem_without_teacher_has_no_outer_step():
    plain = OptimizerTraining(FAMILY, SGD)
    assert plain.at(jnp.int32(3)) is plain
    assert plain.init(META_PARAMS, DATA, KEY).expert is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": 0.0}, "teacher: learning_rate is 0.0; it must be positive"),
        ({"full_until": 5, "gone_at": 5}, "full_until is 5 and gone_at 5"),
        ({"direction_weight": 0.8}, r"are \(0.8, 0.3\); they must be"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(MOMENTUM, **wrong)
