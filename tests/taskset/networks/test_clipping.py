"""Clipping with the gradient of what is clipped."""

import jax
import jax.numpy as jnp
import numpy as np

from taskset.networks.clipping import clip_preserving_gradient


def test_values_are_clipped_and_gradients_are_not():
    x = jnp.asarray([-1e9, -6.0, 0.5, 4.0, 1e9])
    clipped = clip_preserving_gradient(x, -5.0, 3.0)
    np.testing.assert_array_equal(clipped, [-5.0, -5.0, 0.5, 3.0, 3.0])
    gradient = jax.grad(lambda x: jnp.sum(x * clip_preserving_gradient(x, -5.0, 3.0)))(x)
    np.testing.assert_array_equal(gradient, clipped + x)
