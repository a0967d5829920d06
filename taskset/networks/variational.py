"""The parts of a variational autoencoder: its posterior, and the likelihood of pixels.

Auto-encoding variational Bayes (https://arxiv.org/abs/1312.6114) with diagonal normal
distributions, each given by a mean and the logarithm of a standard deviation.
"""

import math

import jax
import jax.numpy as jnp

from taskset.base import Key
from taskset.networks.dims import Dim, Scalar
from taskset.networks.initializers import draw_normal, draw_uniform

PIXEL_STEP = 1 / 255  # between neighbouring values of images in [0, 1]
DECODER_LIMIT = 10.0  # of the decoder's outputs, means and logarithms alike


def sample_normal(key: Key, mean: jax.Array, log_scale: jax.Array, latent: Dim) -> jax.Array:
    """One sample, [batch, latent], of each posterior; zero in padding."""
    noise = draw_normal(key, mean.shape)
    return latent.clear(mean + jnp.exp(log_scale) * noise)


def kl_to_standard_normal(mean: jax.Array, log_scale: jax.Array, latent: Dim) -> jax.Array:
    """The divergence from the standard normal distribution in nats, [batch]."""
    terms = jnp.exp(2 * log_scale) + mean * mean - 1.0 - 2.0 * log_scale
    return 0.5 * latent.sum(terms, axis=-1)


def quantized_normal_log_prob(
    key: Key,
    pixels: jax.Array,
    mean: jax.Array,
    log_scale: jax.Array,
    features: Dim,
    step: Scalar = PIXEL_STEP,
) -> jax.Array:
    """The log-probability in nats, [batch], of pixels that are multiples of `step`.

    All arrays are [batch, features]. The probability of a value is about its density times `step`;
    noise of that width, uniform, makes the mean over it a lower bound (https://arxiv.org/abs/
    1511.01844, section 3.1). The noise does not depend on padding.
    """
    noisy = pixels + 0.5 * step * draw_uniform(key, pixels.shape)
    distance = (noisy - mean) * jnp.exp(-log_scale)
    density = -0.5 * distance * distance - log_scale - 0.5 * math.log(2 * math.pi)
    return features.sum(density + jnp.log(step), axis=-1)
