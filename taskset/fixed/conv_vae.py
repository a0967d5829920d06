"""The fixed tasks that are variational autoencoders of convolutions and transposed ones."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.families.image_inputs import image_input, image_spec
from taskset.fixed.conv_ae import conv_coders, init_coders
from taskset.networks.conv_coders import ConvDecoder, ConvEncoder
from taskset.networks.dims import Dim, Scalar
from taskset.networks.images import ImageInput
from taskset.networks.variational import (
    DECODER_LIMIT,
    PIXEL_STEP,
    kl_to_standard_normal,
    quantized_normal_log_prob,
    sample_normal,
)
from taskset.options import Options


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvVAE(ConfiguredTask):
    """The negative evidence lower bound of images, in nats, by one sample of each posterior."""

    images: ImageInput
    encoder: ConvEncoder
    decoder: ConvDecoder
    step: Scalar  # [] float32, between neighbouring values of pixels

    def init(self, key: Key) -> Params:
        return init_coders(key, self.encoder, self.decoder)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        key_latent, key_pixels = jax.random.split(key)
        images, latent = self.images.canvas(batch["image"]), self.decoder.inputs
        posterior = latent.halves(self.encoder.apply(params["encoder"], images))
        code = sample_normal(key_latent, *posterior, latent)
        outputs = self.decoder.apply(params["decoder"], code)
        outputs = jnp.clip(outputs, -DECODER_LIMIT, DECODER_LIMIT)
        features = self.images.features
        mean, log_scale = jnp.split(outputs, 2, axis=-1)
        pixels, mean, log_scale = (
            x.reshape(-1, features.padded) for x in (images, mean, log_scale)
        )
        log_prob = quantized_normal_log_prob(
            key_pixels, pixels, mean, log_scale, features, self.step
        )
        return jnp.mean(kl_to_standard_normal(*posterior, latent) - log_prob)


def _vae(
    options: Options,
    dataset: str,
    encoder: tuple[int, ...],
    latent: int,
    batch_size: int = 128,
) -> TaskSpec:
    """Built exactly, whatever the buckets; the decoder has the channels of the encoder, reversed.

    Images are in [-1, 1], where the values of pixels are twice as far apart as in [0, 1]. The
    released likelihood does not say so.
    """
    options = dataclasses.replace(options, buckets="exact")
    data = image_spec([dataset, {"bs": batch_size}, None], options)
    images = image_input(data, center=True, options=options)
    codes = (Dim(2 * latent), Dim(latent))
    coders = conv_coders(images, encoder, codes, encoder[::-1], 2 * images.shape[2], options)
    step = PIXEL_STEP if options.released else 2 * PIXEL_STEP
    return TaskSpec(ConvVAE(images, *coders, np.float32(step)), data, batch_size)


_deep = partial(_vae, dataset="cifar10", encoder=(32, 64, 128), latent=64)

# Where a name and what it stands for disagree, the task is what the released one is.
TASKS = {
    "FixedImageConvVAE_mnist_32x32x32x32x32_bs128": partial(
        _vae, dataset="mnist", encoder=(32, 32), latent=32
    ),
    "FixedImageConvVAE_mnist_32x64x32x64x32_bs128": partial(
        _vae, dataset="cifar10", encoder=(32, 64), latent=32
    ),
    "FixedImageConvVAE_cifar10_32x64x128x64x32_bs128": partial(
        _vae, dataset="cifar10", encoder=(32, 64), latent=128
    ),
    "FixedImageConvVAE_mnist_64x128x128x128x64_bs128": partial(
        _vae, dataset="mnist", encoder=(64, 128), latent=128
    ),
    "FixedImageConvVAE_cifar10_64x128x256x128x256x128x64_bs128": partial(
        _vae, dataset="cifar10", encoder=(64, 128, 256), latent=128
    ),
    "FixedImageConvVAE_cifar10_32x64x128x64x128x64x32_bs128": _deep,
    "FixedImageConvVAE_cifar10_32x64x128x64x128x64x32_bs512": partial(_deep, batch_size=512),
}
