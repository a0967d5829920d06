"""The fixed tasks that are variational autoencoders of two multi-layer perceptrons."""

from functools import partial
from typing import Any

from taskset.configured import TaskSpec
from taskset.families import mlp_vae
from taskset.options import Options


def _vae(
    options: Options,
    dataset: str,
    encoder: tuple[int, ...],
    latent: int,
    decoder: tuple[int, ...],
    batch_size: int = 128,
) -> TaskSpec:
    """A VAE of images in [-1, 1]."""
    config: dict[str, Any] = {
        "enc_hidden_units": [*encoder, latent],
        "dec_hidden_units": list(decoder),
        "activation": "relu",
        "w_init": ["default", None],
        "dataset": [dataset, {"bs": batch_size}, None],
        "center_data": True,
    }
    return mlp_vae.build(config, options)


_large = partial(_vae, encoder=(128, 64), latent=32, decoder=(64, 128))

# Where a name and what it stands for disagree, the task is what the released one is.
TASKS = {
    "FixedMLPVAE_cifar101_128x32x128_bs128": partial(
        _vae, dataset="cifar10", encoder=(128,), latent=32, decoder=(128,)
    ),
    "FixedMLPVAE_cifar101_128x128x32x128x128_bs128": partial(
        _vae, dataset="cifar10", encoder=(128, 128), latent=32, decoder=(128, 128)
    ),
    "FixedMLPVAE_mnist_128x8x128x128_bs128": partial(
        _vae, dataset="mnist", encoder=(128,), latent=8, decoder=(128, 128)
    ),
    "FixedMLPVAE_mnist_128x128x8x128_bs128": partial(
        _vae, dataset="mnist", encoder=(128, 128), latent=8, decoder=(128,)
    ),
    "FixedMLPVAE_mnist_128x64x32x64x128_bs64": partial(_large, dataset="mnist", batch_size=64),
    "FixedMLPVAE_food10132x32_128x64x32x64x128_bs64": partial(
        _large, dataset="food101_32x32", batch_size=64
    ),
    "Imagenet32x30_FC_VAE_128x64x32x64x128_relu_bs256": partial(
        _large, dataset="food101_32x32", batch_size=256
    ),
}
