"""The losses of convolutional autoencoders against numpy, on a small image."""

import jax
import jax.numpy as jnp
import numpy as np

from taskset.fixed.conv_ae import ConvAutoencoder, conv_coders
from taskset.fixed.conv_vae import ConvVAE
from taskset.networks.dims import Dim
from taskset.networks.images import ImageInput
from taskset.networks.variational import sample_normal
from taskset.options import Options

KEY = jax.random.key(0)


def images_and_batch():
    image = np.random.RandomState(0).randint(0, 256, (3, 64), np.uint8)
    return ImageInput((8, 8, 1), Dim(8), Dim(8)), {"image": jnp.asarray(image)}


def coders(images, code, outputs):
    return conv_coders(images, (3, 4), code, (4, 3), outputs, Options())


def test_an_autoencoder_has_the_mean_squared_error_of_pixels():
    images, batch = images_and_batch()
    encoder, decoder = coders(images, (Dim(2), Dim(2)), 1)
    task = ConvAutoencoder(images, encoder, decoder)
    params = task.init(KEY)
    pixels = np.asarray(batch["image"], np.float64).reshape(3, 8, 8, 1) / 255
    code = encoder.apply(params["encoder"], jnp.asarray(pixels, jnp.float32))
    outputs = np.asarray(decoder.apply(params["decoder"], code), np.float64)
    expected = np.mean((1 / (1 + np.exp(-outputs)) - pixels) ** 2)
    np.testing.assert_allclose(task.loss(params, batch, KEY), expected, rtol=1e-6)


def test_the_loss_of_a_variational_autoencoder_is_its_negative_lower_bound():
    images, batch = images_and_batch()
    encoder, decoder = coders(images, (Dim(4), Dim(2)), 2)
    step = np.float32(1e-6)  # so fine that its noise does not matter
    task = ConvVAE(images, encoder, decoder, step)
    params = task.init(KEY)
    pixels = np.asarray(batch["image"], np.float64).reshape(3, 8, 8, 1) / 255
    posterior = encoder.apply(params["encoder"], jnp.asarray(pixels, jnp.float32))
    mean, log_scale = np.asarray(posterior[:, :2]), np.asarray(posterior[:, 2:])
    code = sample_normal(jax.random.split(KEY)[0], posterior[:, :2], posterior[:, 2:], Dim(2))
    outputs = np.asarray(decoder.apply(params["decoder"], code), np.float64).clip(-10, 10)
    log_stddev = outputs[..., 1:]
    density = -0.5 * ((pixels - outputs[..., :1]) / np.exp(log_stddev)) ** 2 - log_stddev
    log_prob = np.sum(density - 0.5 * np.log(2 * np.pi) + np.log(1e-6), axis=(1, 2, 3))
    divergence = 0.5 * np.sum(np.exp(2 * log_scale) + mean**2 - 1 - 2 * log_scale, axis=1)
    expected = np.mean(divergence - log_prob)
    np.testing.assert_allclose(task.loss(params, batch, KEY), expected, rtol=1e-5)
