"""Against the formulas in numpy, schedules and groups included."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt.dynamics import Adam, GradientDescent, Momentum
from taskset.errors import InputError

STEPS = 6
GRADIENTS = np.random.RandomState(0).randn(STEPS, 2, 3).astype(np.float32)
RATES = np.linspace(0.3, 0.1, STEPS, dtype=np.float32)
DECAYS = np.linspace(0.5, 0.9, STEPS, dtype=np.float32)


def trajectory(transformation):
    """The parameters, in two groups, after every step: [STEPS, 2, 3]."""
    params = {"a": jnp.ones(3), "b": jnp.zeros(3)}
    state, found = transformation.init(params), []
    for a, b in GRADIENTS:
        updates, state = transformation.update({"a": a, "b": b}, state, params)
        params = optax.apply_updates(params, updates)
        found.append([params["a"], params["b"]])
    return np.asarray(found)


def expected(step):
    params, state, found = np.asarray([[1.0], [0.0]]) * np.ones((2, 3)), 0.0, []
    for t in range(STEPS):
        params, state = step(t, params, state, GRADIENTS[t])
        found.append(params)
    return np.asarray(found)


def check(transformation, step):
    np.testing.assert_allclose(trajectory(transformation), expected(step), rtol=1e-5, atol=1e-6)


def test_descent_with_a_rate_for_each_step_and_group():
    rates = {"a": jnp.asarray(RATES), "b": 0.05}

    def step(t, w, s, g):
        return w - np.asarray([[RATES[t]], [0.05]]) * g, s

    check(GradientDescent(rates), step)


def test_momentum():
    def step(t, w, m, g):
        m = DECAYS[t] * m + g
        return w - RATES[t] * m, m

    check(Momentum(jnp.asarray(RATES), jnp.asarray(DECAYS)), step)


def test_damped_momentum_from_a_momentum():
    def step(t, w, m, g):
        m = (0.5 if t == 0 else m) * 0.9 + (1 - 0.9) * g
        return w - 0.1 * m, m

    initial = {"a": jnp.full(3, 0.5), "b": jnp.full(3, 0.5)}
    check(Momentum(0.1, 0.9, damped=True, initial_momentum=initial), step)


def test_adam_has_epsilon_inside_of_the_root():
    def step(t, w, s, g):
        m, v = s or (0.0, 0.0)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        rate = 0.1 * np.sqrt(1 - 0.99 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        return w - rate * m / np.sqrt(v + 1e-3), (m, v)

    check(Adam(0.1, 0.9, 0.99, 1e-3), step)


def test_adam_has_derivatives_where_a_gradient_is_always_zero():
    def end(rate, transformation):
        params, dead = jnp.ones(2), jnp.asarray([1.0, 0.0])
        state = transformation(rate).init(params)
        for _ in range(2):
            gradients = jax.grad(lambda w: jnp.sum(jnp.square(w * dead)))(params)
            updates, state = transformation(rate).update(gradients, state, params)
            params = params + updates
        return jnp.sum(params)

    with jax.numpy_dtype_promotion("standard"):
        assert np.isnan(jax.grad(end)(0.1, optax.adam))
    assert np.isfinite(jax.grad(end)(0.1, Adam))


def test_a_schedule_with_a_column_for_each_tensor():
    columns = jnp.asarray([[0.1, 0.02], [0.3, 0.04]])
    tree = {"a": columns[:, 0], "b": columns[:, 1]}
    found, expected = (trajectory(GradientDescent(rate)) for rate in (columns, tree))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 3), "there are 2 tensors"), ((2, 2, 1), r"must be \[\], \[num")],
)
def test_schedules_of_other_shapes_are_refused(shape, message):
    with pytest.raises(InputError, match=message):
        trajectory(GradientDescent(jnp.ones(shape)))


def test_they_go_where_optax_goes():
    plain = trajectory(GradientDescent(0.1))
    chained = trajectory(optax.chain(optax.identity(), GradientDescent(0.1)))
    np.testing.assert_array_equal(plain, chained)
