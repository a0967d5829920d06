"""The eight fixed tasks in two variables."""

import jax
import numpy as np
import optax
import pytest

from taskset.fixed.two_d import TASKS
from taskset.options import Options

EXACT, RELEASED = Options(), Options(fidelity="released")
KEYS = jax.random.split(jax.random.key(0), 2)


def test_there_are_eight():
    assert len(TASKS) == 8
    assert all(name.startswith("TwoD_") for name in TASKS)


@pytest.mark.parametrize("condition", [1, 10, 100, 1000])
def test_bowls_have_their_condition_number(condition):
    task = TASKS[f"TwoD_Bowl{condition}"](EXACT).template
    hessian = jax.hessian(task.loss)(task.init(KEYS[0]), None, KEYS[0])
    np.testing.assert_allclose(hessian, np.diag([condition, 1.0]), rtol=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_replicas_start_apart_but_as_released_from_one_point(name):
    own, released = (TASKS[name](options).template for options in (EXACT, RELEASED))
    assert np.any(own.init(KEYS[0]) != own.init(KEYS[1]))
    np.testing.assert_array_equal(released.init(KEYS[0]), released.init(KEYS[1]))
    point = own.init(KEYS[0])
    assert own.loss(point, None, KEYS[0]) == released.loss(point, None, KEYS[1])


def test_one_program_serves_all_and_computes_the_same():
    padded = {name: build(Options(buckets="padded")).template for name, build in TASKS.items()}
    assert len({jax.tree.structure(task) for task in padded.values()}) == 1
    run = jax.jit(lambda task, key: jax.value_and_grad(task.loss)(task.init(key), None, key))
    for name, task in padded.items():
        exact = TASKS[name](EXACT).template
        for got, expected in zip(run(task, KEYS[0]), run(exact, KEYS[0]), strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-6)


@pytest.mark.usefixtures("standard_promotion")
@pytest.mark.parametrize("name", TASKS)
def test_adam_reduces_the_loss(name):
    task, optimizer = TASKS[name](EXACT).template, optax.adam(0.03)

    def step(carry, _):
        params, state = carry
        loss, grads = jax.value_and_grad(task.loss)(params, None, KEYS[0])
        updates, state = optimizer.update(grads, state)
        return (optax.apply_updates(params, updates), state), loss

    params = task.init(KEYS[1])
    losses = jax.lax.scan(step, (params, optimizer.init(params)), length=200)[1]
    assert losses[-1] < losses[0]
