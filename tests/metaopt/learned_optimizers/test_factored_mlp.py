"""FactoredMLP computes its network in two ways: as sums to apply, as products to differentiate."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaopt.learned_optimizers import FactoredMLP, factored_features

PARAMS = {"weight": jnp.linspace(-1, 1, 35).reshape(5, 7), "bias": jnp.linspace(0, 1, 7)}


def two_steps(meta_params):
    """The parameters after two updates with gradients that depend on them."""
    optimizer = FactoredMLP(step_multiplier=0.1).as_optax(meta_params)

    def step(carry, scale):
        params, state = carry
        gradients = jax.tree.map(lambda p: scale * p + 0.1, params)
        updates, state = optimizer.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), None

    start = (PARAMS, optimizer.init(PARAMS))
    (params, _), _ = jax.lax.scan(step, start, jnp.asarray([1.0, 0.5]))  # compiles one step
    return params


def objective(meta_params):
    return sum(jnp.sum(jnp.square(p)) for p in jax.tree.leaves(two_steps(meta_params)))


def test_both_forms_of_the_network_agree(monkeypatch):
    meta_params = FactoredMLP().init(jax.random.key(0))
    as_sums = two_steps(meta_params)
    by_matrices = factored_features._network_by_matrices
    monkeypatch.setattr(factored_features, "_network", by_matrices)
    as_products = two_steps(meta_params)
    for x, y in zip(jax.tree.leaves(as_sums), jax.tree.leaves(as_products), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-6)
        assert not np.array_equal(x, np.asarray(PARAMS["weight" if x.ndim == 2 else "bias"]))


def test_derivative_against_finite_differences_in_both_modes():
    meta_params = FactoredMLP().init(jax.random.key(0))
    flat, unravel = jax.flatten_util.ravel_pytree(meta_params)
    direction = jax.random.normal(jax.random.key(1), flat.shape)
    direction = direction / jnp.linalg.norm(direction)
    along = jax.jit(lambda t: objective(unravel(flat + t * direction)))
    step = 1e-2
    numeric = (along(step) - along(-step)) / (2 * step)
    forward = jax.jvp(along, (jnp.float32(0.0),), (jnp.float32(1.0),))[1]
    reverse = jnp.dot(jax.jit(jax.grad(lambda x: objective(unravel(x))))(flat), direction)
    np.testing.assert_allclose(forward, reverse, rtol=1e-4)
    np.testing.assert_allclose(numeric, reverse, rtol=2e-2)


def test_state_is_sixteen_bytes_per_parameter():
    """Three momenta and a second moment of float32; factored statistics vanish beside a matrix."""
    params = jnp.zeros((1000, 1000))
    state = jax.eval_shape(
        FactoredMLP().as_optax(FactoredMLP().init(jax.random.key(0))).init, params
    )
    num_bytes = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    assert 16 <= num_bytes / params.size < 16.1
