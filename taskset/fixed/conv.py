"""The fixed tasks that classify images by convolutions."""

import dataclasses
from functools import partial
from typing import Any

from taskset.configured import TaskSpec
from taskset.families import conv_fc, conv_pooling
from taskset.networks.initializers import TRUNCATED_STDDEV
from taskset.options import Options

# TensorFlow's "contrib" initialiser draws from a normal distribution of variance 1.3 * 2 / inputs,
# and then truncates it.
CONTRIB_SCALE = 1.3 * 2.0 * TRUNCATED_STDDEV**2


def _config(
    dataset: str,
    channels: tuple[int, ...],
    activation: str,
    initializer: tuple[str, float | None],
    batch_size: int,
) -> dict[str, Any]:
    """Convolutions of which the first halves the image."""
    return {
        "strides": [[2, 2]] + [[1, 1]] * (len(channels) - 1),
        "hidden_units": list(channels),
        "padding": ["SAME"] * len(channels),
        "activation": activation,
        "w_init": list(initializer),
        "use_bias": True,
        "dataset": [dataset, {"bs": batch_size}, None],
        "center_data": False,
    }


def _pooling(
    options: Options,
    channels: tuple[int, ...],
    dataset: str = "cifar10",
    activation: str = "relu",
    initializer: tuple[str, float | None] = ("default", None),
    pool: str = "mean",
    batch_norm: bool = False,
    batch_size: int = 128,
) -> TaskSpec:
    """Built exactly, whatever the buckets, for no family has these strides.

    The released convolutions have biases before their batch normalisation too, which takes them
    away again: they do nothing, and their gradients are rounding errors. As intended, there are
    none.
    """
    config = _config(dataset, channels, activation, initializer, batch_size) | {
        "pool_type": pool,
        "head_init": ["default", None],
        "batch_norm": batch_norm,
        "use_bias": options.released or not batch_norm,
    }
    return conv_pooling.build(config, dataclasses.replace(options, buckets="exact"))


def _flat(
    options: Options,
    channels: tuple[int, ...],
    hidden: tuple[int, ...] = (),
    dataset: str = "cifar10",
    activation: str = "relu",
    initializer: tuple[str, float | None] = ("default", None),
    batch_size: int = 128,
) -> TaskSpec:
    """Built exactly, whatever the buckets."""
    config = _config(dataset, channels, activation, initializer, batch_size)
    config |= {"fc_hidden_units": list(hidden)}
    return conv_fc.build(config, dataclasses.replace(options, buckets="exact"))


_WIDE = (32, 64, 128)
_NORMALIZED = (32, 64, 128, 128)
_tanh = partial(_pooling, channels=_WIDE, activation="tanh", batch_size=64)
_normalized = partial(_pooling, channels=_NORMALIZED, batch_norm=True)
_flat_relu = partial(_flat, channels=(32, 64, 64))
_flat_tanh = partial(_flat, channels=_WIDE, hidden=(64, 32), activation="tanh")
_contrib = partial(_flat_tanh, initializer=("variance_scaling", CONTRIB_SCALE), batch_size=64)

TASKS = {
    "FixedImageConv_cifar10_32x64x64_bs128": partial(_pooling, channels=(32, 64, 64)),
    "FixedImageConv_cifar10_32x64x64_tanh_bs64": partial(_tanh, channels=(32, 64, 64)),
    "FixedImageConv_cifar10_32x64x128_he_bs64": partial(
        _tanh, initializer=("he_normal", None), pool="max"
    ),
    "FixedImageConv_cifar10_32x64x128_normal_bs64": partial(
        _tanh, initializer=("random_normal", 0.02)
    ),
    "FixedImageConv_cifar10_32x64x128_largenormal_bs64": partial(
        _tanh, initializer=("random_normal", 0.2)
    ),
    "FixedImageConv_cifar10_32x64x128_smallnormal_bs64": partial(
        _tanh, initializer=("random_normal", 0.002)
    ),
    "FixedImageConv_cifar10_32x64x128x128x128_avg_he_bs64": partial(
        _tanh, channels=(32, 64, 128, 128, 128), initializer=("he_normal", None)
    ),
    "FixedImageConv_cifar10_batchnorm_32x64x64_bs128": partial(_normalized, channels=(32, 64, 64)),
    "FixedImageConv_cifar10_batchnorm_32x32x32x64x64_bs128": partial(
        _normalized, channels=(32, 32, 32, 64, 64)
    ),
    "FixedImageConv_food101_batchnorm_32x32x32x64x64_bs128": partial(
        _normalized, channels=(32, 32, 32, 64, 64), dataset="food101_32x32"
    ),
    "FixedImageConv_cifar100_bn_32x64x128x128_bs128": partial(_normalized, dataset="cifar100"),
    "FixedImageConv_coil10032x32_bn_32x64x128x128_bs128": partial(
        _normalized, dataset="coil100_32x32"
    ),
    "FixedImageConv_sun39732x32_bn_32x64x128x128_bs128": partial(
        _normalized, dataset="sun397_32x32"
    ),
    "FixedImageConv_cifar10_32x64x64_flatten_bs128": _flat_relu,
    "FixedImageConv_cifar10_32x64x64_fc_64_bs128": partial(_flat_relu, hidden=(64,)),
    "FixedImageConv_mnist_32x64x64_fc_64_bs128": partial(_flat_relu, hidden=(64,), dataset="mnist"),
    "Mnist_Conv_32x16x64_flatten_FC32_tanh_bs32": partial(
        _flat_tanh, channels=(32, 16, 64), hidden=(32,), dataset="mnist", batch_size=32
    ),
    "FixedImageConv_cifar10_32x64x128_flatten_FC64x32_tanh_he_bs8": partial(
        _flat_tanh, initializer=("he_normal", None), batch_size=8
    ),
    "FixedImageConv_cifar10_32x64x128_flatten_FC64x32_tanh_variance_scaling_bs64": _contrib,
    "FixedImageConv_cifar100_32x64x128_FC64x32_tanh_variance_scaling_bs64": partial(
        _contrib, dataset="cifar100"
    ),
    "FixedImageConv_cifar100_32x64x64_flatten_bs128": partial(_flat_relu, dataset="cifar100"),
    "FixedImageConv_food10164x64_Conv_32x64x64_flatten_bs64": partial(
        _flat_relu, dataset="food101_64x64", batch_size=64
    ),
    "FixedImageConv_colorectalhistology32x32_32x64x64_flatten_bs128": partial(
        _flat_relu, dataset="colorectal_histology_32x32"
    ),
}
