"""The fixed tasks that reconstruct images by convolutions and transposed convolutions."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.families.convolutions import conv_windows
from taskset.families.image_inputs import image_input, image_spec
from taskset.networks.conv import ConvLayer, ConvStack
from taskset.networks.conv_coders import ConvDecoder, ConvEncoder
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim
from taskset.networks.images import ImageInput
from taskset.options import Options

FIRST_CHANNELS = 32  # of the small image that a decoder begins with


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvAutoencoder(ConfiguredTask):
    """The mean squared error of pixels, by outputs through a sigmoid."""

    images: ImageInput
    encoder: ConvEncoder
    decoder: ConvDecoder

    def init(self, key: Key) -> Params:
        return init_coders(key, self.encoder, self.decoder)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        images = self.images.canvas(batch["image"])
        code = self.encoder.apply(params["encoder"], images)
        outputs = jax.nn.sigmoid(self.decoder.apply(params["decoder"], code))
        return jnp.mean((outputs - images) ** 2)


def init_coders(key: Key, encoder: ConvEncoder, decoder: ConvDecoder) -> Params:
    """`{"encoder": ..., "decoder": ...}`."""
    key_encoder, key_decoder = jax.random.split(key)
    return {"encoder": encoder.init(key_encoder), "decoder": decoder.init(key_decoder)}


def conv_coders(
    images: ImageInput,
    encoder: tuple[int, ...],
    code: tuple[Dim, Dim],
    decoder: tuple[int, ...],
    outputs: int,
    options: Options,
) -> tuple[ConvEncoder, ConvDecoder]:
    """Networks with these channels; `code` is what the encoder puts out and the decoder reads."""
    side, _, channels = images.shape
    activation, initializer = options.activation("relu"), options.initializer(["default", None])
    windows = conv_windows(side, [2] * len(encoder), ["SAME"] * len(encoder))
    layers = tuple(map(ConvLayer, windows, map(Dim, encoder)))
    flat = Dim(windows[-1].outputs.padded ** 2 * encoder[-1])
    return (
        ConvEncoder(
            ConvStack(channels, layers, activation, initializer),
            MLP(flat, (), code[0], activation, initializer),
        ),
        ConvDecoder(
            inputs=code[1],
            first=(side >> len(decoder), side >> len(decoder), FIRST_CHANNELS),
            channels=decoder,
            outputs=outputs,
            activation=activation,
            initializer=initializer,
        ),
    )


def _autoencoder(
    options: Options,
    dataset: str,
    encoder: tuple[int, ...],
    code: int,
    decoder: tuple[int, ...],
    batch_size: int = 128,
) -> TaskSpec:
    """Built exactly, whatever the buckets: no family has this structure."""
    options = dataclasses.replace(options, buckets="exact")
    data = image_spec([dataset, {"bs": batch_size}, None], options)
    images = image_input(data, center=False, options=options)
    codes = (Dim(code), Dim(code))
    coders = conv_coders(images, encoder, codes, decoder, images.shape[2], options)
    return TaskSpec(ConvAutoencoder(images, *coders), data, batch_size)


_mnist = partial(_autoencoder, dataset="mnist")
_cifar10 = partial(_autoencoder, dataset="cifar10")

TASKS = {
    "FixedImageConvAE_mnist_32x32x32x32x32_bs128": partial(
        _mnist, encoder=(32, 32), code=32, decoder=(32, 32)
    ),
    "FixedImageConvAE_mnist_32x64x8x64x32_bs128": partial(
        _mnist, encoder=(32, 64), code=8, decoder=(64, 32)
    ),
    # The last layer of the decoder is wider than the name says.
    "FixedImageConvAE_mnist_32x64x32x64x32_bs512": partial(
        _mnist, encoder=(32, 64), code=32, decoder=(64, 64), batch_size=512
    ),
    "FixedImageConvAE_cifar10_32x32x32x32x32_bs128": partial(
        _cifar10, encoder=(32, 32), code=32, decoder=(32, 32)
    ),
    "FixedImageConvAE_cifar10_32x64x8x64x32_bs128": partial(
        _cifar10, encoder=(32, 64), code=8, decoder=(64, 32)
    ),
}
