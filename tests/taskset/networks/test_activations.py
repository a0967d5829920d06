"""Activations by coefficients are those by name, and so are their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.configs.draws import ACTIVATION_WEIGHTS
from taskset.networks.activations import ACTIVATIONS, COEFFICIENTS
from taskset.options import Options

POINTS = np.concatenate([np.linspace(-9, 9, 181), [-80, -30, 30, 80]]).astype(np.float32)


def test_every_activation_that_is_sampled_has_both_forms():
    assert set(COEFFICIENTS) == set(ACTIVATION_WEIGHTS)
    assert set(COEFFICIENTS) < set(ACTIVATIONS)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_coefficients_give_the_function_and_its_derivative(name):
    named, general = (Options(buckets=b).activation(name) for b in ("exact", "padded"))
    np.testing.assert_allclose(general(POINTS), named(POINTS), rtol=2e-6, atol=5e-7)
    slopes = [jax.vmap(jax.grad(lambda x, f=f: f(x)))(POINTS) for f in (named, general)]
    smooth = POINTS != 0
    np.testing.assert_allclose(slopes[1][smooth], slopes[0][smooth], rtol=1e-5, atol=1e-6)
    curvatures = [
        jax.vmap(jax.grad(jax.grad(lambda x, f=f: f(x))))(POINTS) for f in (named, general)
    ]
    np.testing.assert_allclose(curvatures[1][smooth], curvatures[0][smooth], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_branches_change_nothing(name):
    activation = Options(buckets="padded").activation(name)
    for function in (lambda f, x: f(x), lambda f, x: jax.vjp(f, x)[1](jnp.ones_like(x))[0]):
        whole, branched = (function(f, POINTS) for f in (activation, activation.branched))
        np.testing.assert_allclose(branched, whole, rtol=1e-6, atol=1e-7)


def test_tasks_side_by_side_have_activations_of_their_own():
    each = [Options(buckets="padded").activation(name) for name in ("relu", "cos", "tanh")]
    stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *each)
    together = jax.vmap(lambda f: f(jnp.asarray(POINTS)))(stacked)
    for row, activation in zip(together, each):
        np.testing.assert_array_equal(row, activation(POINTS))


@pytest.mark.parametrize(("name", "slope"), [("relu", 0.0), ("leaky_relu2", 0.2), ("elu", 1.0)])
def test_the_derivative_at_a_kink_is_that_from_below(name, slope):
    for activation in (Options(buckets=b).activation(name) for b in ("exact", "padded")):
        np.testing.assert_allclose(jax.grad(lambda x, f=activation: f(x))(0.0), slope)
