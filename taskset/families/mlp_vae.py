"""Variational autoencoders of images, of two multi-layer perceptrons."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.families.image_inputs import image_input, image_spec
from taskset.networks.clipping import clip_preserving_gradient
from taskset.networks.dense import MLP
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

DEPTH = 3  # hidden layers of a bucket; an encoder without any has a bucket of its own
WIDTHS = (128,)  # of hidden layers, and of the latent


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MLPVAE(ConfiguredTask):
    """The negative evidence lower bound of images, in nats, by one sample of each posterior."""

    images: ImageInput
    encoder: MLP
    decoder: MLP
    batch: Dim
    step: Scalar  # [] float32, between neighbouring values of pixels
    bound: bool = dataclasses.field(metadata={"static": True})  # whether posteriors are

    def init(self, key: Key) -> Params:
        key_encoder, key_decoder = jax.random.split(key)
        return {
            "encoder": self.encoder.init(key_encoder),
            "decoder": self.decoder.init(key_decoder),
        }

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        key_latent, key_pixels = jax.random.split(key)
        pixels = self.images.flat(batch["image"])
        latent, features = self.decoder.inputs, self.images.features
        mean, log_scale = latent.halves(self.encoder.apply(params["encoder"], pixels))
        if self.bound:
            log_scale = clip_preserving_gradient(log_scale, -DECODER_LIMIT, DECODER_LIMIT)
        code = sample_normal(key_latent, mean, log_scale, latent)
        outputs = self.decoder.apply(params["decoder"], code)
        likelihood = features.halves(jnp.clip(outputs, -DECODER_LIMIT, DECODER_LIMIT))
        log_prob = quantized_normal_log_prob(key_pixels, pixels, *likelihood, features, self.step)
        return self.batch.mean(kl_to_standard_normal(mean, log_scale, latent) - log_prob)


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `mlp_vae_family`.

    The released posteriors have no limits, and overflow from large initial weights; as intended,
    the logarithms of their scales have those of the decoder. With `center_data`, which fixed tasks
    have, pixels are in [-1, 1]: their values are twice as far apart, which the released likelihood
    leaves out.
    """
    center = config.get("center_data", False)
    data = image_spec(config["dataset"], options)
    images = image_input(data, center=center, options=options)
    *encoder_sizes, latent_size = config["enc_hidden_units"]
    latent = options.dim(latent_size, WIDTHS)
    step = 2 * PIXEL_STEP if center and not options.released else PIXEL_STEP
    task = MLPVAE(
        images,
        _network(images.features, encoder_sizes, latent.twice, config, options),
        _network(latent, config["dec_hidden_units"], images.features.twice, config, options),
        data.batch,
        np.float32(step),
        bound=not options.released,
    )
    return TaskSpec(task, data, data.batch.padded)


def _network(
    inputs: Dim, sizes: Sequence[int], outputs: Dim, config: Mapping[str, Any], options: Options
) -> MLP:
    hidden = tuple(options.dim(size, WIDTHS) for size in sizes)
    depth = None
    if options.padded and sizes:
        hidden += (options.dim(1, WIDTHS),) * (DEPTH - len(sizes))
        depth = options.count(len(sizes))
    activation = options.activation(config["activation"])
    initializer = options.initializer(config["w_init"])
    return MLP(inputs, hidden, outputs, activation, initializer, depth)
