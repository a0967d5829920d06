"""The likelihood and divergence of variational autoencoders against numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from taskset.networks.dims import Dim
from taskset.networks.initializers import draw_uniform
from taskset.networks.variational import (
    kl_to_standard_normal,
    quantized_normal_log_prob,
    sample_normal,
)

RNG = np.random.RandomState(0)
MEAN, LOG_SCALE = RNG.randn(2, 4, 6).astype(np.float32)
PIXELS = RNG.randint(0, 256, (4, 6)).astype(np.float32) / 255
KEY = jax.random.key(5)


def normal_log_density(x, mean, scale):
    return -0.5 * ((x - mean) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))


def test_quantized_likelihood_equals_numpy():
    step = 2 / 255
    noisy = PIXELS + step / 2 * np.asarray(draw_uniform(KEY, PIXELS.shape), np.float64)
    density = normal_log_density(noisy, MEAN, np.exp(LOG_SCALE.astype(np.float64)))
    expected = np.sum(density + np.log(step), axis=1)
    arrays = map(jnp.asarray, (PIXELS, MEAN, LOG_SCALE))
    got = quantized_normal_log_prob(KEY, *arrays, Dim(6), np.float32(step))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_quantized_likelihood_is_below_the_probability_of_the_value_and_near_it():
    # One pixel, of a normal distribution about as wide as a step: bins sum to one.
    count, step, scale = 4000, 1 / 255, 1 / 255
    mean = jnp.full((count, 1), 0.5 * step)
    log_scale = jnp.full((count, 1), np.log(scale), jnp.float32)
    means = []
    for value in range(-6, 8):
        pixels = jnp.full((count, 1), value * step, jnp.float32)
        log_prob = quantized_normal_log_prob(KEY, pixels, mean, log_scale, Dim(1))
        means.append(np.mean(np.asarray(log_prob, np.float64)))
    total = np.sum(np.exp(means))
    assert 0.9 < total < 1.0


def test_divergence_equals_the_mean_log_ratio_of_samples():
    mean, log_scale = MEAN[:1, :2], LOG_SCALE[:1, :2]
    tiled = [jnp.tile(x, (50_000, 1)) for x in (mean, log_scale)]
    code = np.asarray(sample_normal(KEY, *tiled, Dim(2)), np.float64)
    ratio = normal_log_density(code, mean, np.exp(log_scale)) - normal_log_density(code, 0, 1)
    ratio = ratio.sum(1)
    standard_error = ratio.std() / np.sqrt(len(ratio))
    kl = kl_to_standard_normal(jnp.asarray(mean), jnp.asarray(log_scale), Dim(2))
    assert abs(float(kl[0]) - ratio.mean()) < 4 * standard_error


def test_padding_adds_nothing():
    padded = [jnp.pad(jnp.asarray(x), ((0, 2), (0, 3))) for x in (PIXELS, MEAN, LOG_SCALE)]
    exact = [jnp.asarray(x) for x in (PIXELS, MEAN, LOG_SCALE)]
    dims = Dim(9, np.int32(6)), Dim(6)
    for function in (
        lambda arrays, dim: quantized_normal_log_prob(KEY, *arrays, dim),
        lambda arrays, dim: kl_to_standard_normal(*arrays[1:], dim),
        lambda arrays, dim: jnp.sum(sample_normal(KEY, *arrays[1:], dim), 1),
    ):
        with_padding, without = function(padded, dims[0]), function(exact, dims[1])
        np.testing.assert_allclose(with_padding[:4], without, rtol=1e-6)
