"""Hand-designed optimizers with learned hyper-parameters, against numpy, optax and by hand."""

import dataclasses

import against_numpy
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from metaopt.learned_optimizers import LearnableAdam, LearnableMomentum, LearnableSGD
from taskset.errors import InputError

NUM_STEPS = 9
KINDS = [LearnableSGD, LearnableMomentum, LearnableAdam]


def rates(meta_params, step):
    """Of three tensors, three knots at the steps 0, 4 and 8."""
    knots = meta_params["log_learning_rate"]
    return np.exp([np.interp(step, [0, 4, 8], knots[tensor]) for tensor in range(3)])


def sgd(meta_params, params, gradients):
    for step, gradient in enumerate(gradients):
        for rate, name in zip(rates(meta_params, step), params):
            params = params | {name: params[name] - rate * gradient[name]}
    return params


def momentum(meta_params, params, gradients):
    beta = 1 - np.exp(meta_params["log_one_minus_momentum"])
    kept = {name: 0.0 for name in params}
    for step, gradient in enumerate(gradients):
        for rate, name in zip(rates(meta_params, step), params):
            kept[name] = beta * kept[name] + gradient[name]
            params = params | {name: params[name] - rate * kept[name]}
    return params


def adam(meta_params, params, gradients):
    b1, b2 = (1 - np.exp(meta_params[f"log_one_minus_{b}"]) for b in ("b1", "b2"))
    first, second = ({name: 0.0 for name in params} for _ in range(2))
    for step, gradient in enumerate(gradients):
        for rate, name in zip(rates(meta_params, step), params):
            first[name] = b1 * first[name] + (1 - b1) * gradient[name]
            second[name] = b2 * second[name] + (1 - b2) * gradient[name] ** 2
            mean, square = (
                first[name] / (1 - b1 ** (step + 1)),
                second[name] / (1 - b2 ** (step + 1)),
            )
            moved = rate * mean / (np.sqrt(square) + np.exp(meta_params["log_epsilon"]))
            params = params | {name: params[name] - moved}
    return params


@pytest.mark.parametrize("kind", KINDS)
def test_matches_an_independent_computation(kind):
    reference = {LearnableSGD: sgd, LearnableMomentum: momentum, LearnableAdam: adam}[kind]
    optimizer = kind(learning_rate=0.05, num_tensors=3, num_knots=3)
    if kind is LearnableAdam:
        optimizer = dataclasses.replace(optimizer, epsilon=1e-2)
    against_numpy.check(optimizer, reference, num_steps=NUM_STEPS)


def test_starts_as_the_optimizer_that_it_is_named_after():
    params = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(2)}
    counterparts = {
        LearnableSGD(learning_rate=0.1): optax.sgd(0.1),
        LearnableMomentum(learning_rate=0.1): optax.sgd(0.1, momentum=0.9),
        LearnableAdam(learning_rate=0.1): optax.adam(0.1),
    }
    for optimizer, counterpart in counterparts.items():
        ours, theirs = params, params
        transformation = optimizer.as_optax(optimizer.init(jax.random.key(0)))
        state, other = transformation.init(ours), counterpart.init(theirs)
        for _ in range(3):
            updates, state = transformation.update(ours, state, ours)
            ours = optax.apply_updates(ours, updates)
            with jax.numpy_dtype_promotion("standard"):
                updates, other = counterpart.update(theirs, other, theirs)
            theirs = optax.apply_updates(theirs, updates)
        for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(x, y, rtol=5e-5)  # 1 - 0.999 in float32


def test_derivative_is_finite_where_gradients_are_zero():
    optimizer = LearnableAdam()
    zeros = {"a": jnp.zeros(3)}

    def after(meta_params):
        transformation = optimizer.as_optax(meta_params)
        return jnp.sum(transformation.update(zeros, transformation.init(zeros), zeros)[0]["a"])

    derivative = jax.grad(after)(optimizer.init(jax.random.key(0)))
    assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(derivative))


def test_bad_input_is_refused():
    key = jax.random.key(0)
    with pytest.raises(InputError, match=r"learning_rate is 0\.0; it must be positive"):
        LearnableSGD(learning_rate=0.0).init(key)
    with pytest.raises(InputError, match="num_knots is 0"):
        LearnableSGD(num_knots=0).init(key)
    scheduled = LearnableSGD(num_knots=2)
    with pytest.raises(InputError, match="2 knots needs the length of training"):
        scheduled.as_optax(scheduled.init(key))
    per_tensor = LearnableSGD(num_tensors=3)
    transformation = per_tensor.as_optax(per_tensor.init(key))
    params = {"a": jnp.ones(2), "b": jnp.ones(2)}
    with pytest.raises(InputError, match="rates for 3 tensors, and the parameters have 2"):
        transformation.update(params, transformation.init(params), params)


@pytest.mark.parametrize(
    "optimizer",
    [LearnableSGD(0.1), LearnableMomentum(0.03), LearnableAdam(0.05)],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_the_minimum_found_of_a_line_of_minima_is_the_projection_of_the_start(optimizer):
    """(x - y)^2 / 2 from (0.8, -0.3): x + y stays, x - y goes (recipes/implicit_regularisation)."""
    transformation = optimizer.as_optax(optimizer.init(jax.random.key(0)))
    loss = lambda point: 0.5 * jnp.square(point[0] - point[1])

    def step(carry, _):
        point, state = carry
        updates, state = transformation.update(jax.grad(loss)(point), state, point)
        return (optax.apply_updates(point, updates), state), None

    @jax.jit
    def run(start):
        return jax.lax.scan(step, (start, transformation.init(start)), length=200)[0][0]

    x, y = np.asarray(run(jnp.asarray([0.8, -0.3])), np.float64)
    assert x + y == pytest.approx(0.5, abs=1e-5)
    assert abs(x - y) < 0.1 * 1.1
