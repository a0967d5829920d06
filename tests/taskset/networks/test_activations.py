"""Activations by coefficients against those by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.networks.activations import ACTIVATIONS, COEFFICIENTS, Activation


@pytest.mark.parametrize("name", COEFFICIENTS)
def test_coefficients_give_the_values_and_derivatives_of_the_name(name):
    x = jnp.asarray([-100.0, -3.0, -0.2, 0.0, 1e-3, 0.7, 5.0, 100.0])
    coefficients = jax.tree.map(np.float32, COEFFICIENTS[name])
    activation, expected = Activation(None, coefficients), Activation(name)
    np.testing.assert_allclose(activation(x), expected(x), rtol=1e-5, atol=2e-7)
    slopes, expected_slopes = (jax.vmap(jax.grad(f))(x) for f in (activation, expected))
    np.testing.assert_allclose(slopes, expected_slopes, rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize(("name", "slope"), [("relu", 0.0), ("leaky_relu2", 0.2), ("elu", 1.0)])
def test_the_derivative_at_a_kink_is_that_from_below(name, slope):
    np.testing.assert_allclose(jax.grad(ACTIVATIONS[name])(0.0), slope)
