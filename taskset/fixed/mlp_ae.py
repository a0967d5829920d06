"""The fixed tasks that reconstruct images by a multi-layer perceptron."""

from functools import partial
from typing import Any

from taskset.configured import TaskSpec
from taskset.families import mlp_ae
from taskset.options import Options


def _autoencoder(options: Options, dataset: str, hidden: tuple[int, ...]) -> TaskSpec:
    """Mean squared error of pixels, by outputs through a sigmoid."""
    config: dict[str, Any] = {
        "hidden_units": list(hidden),
        "activation": "relu",
        "w_init": ["default", None],
        "dataset": [dataset, {"bs": 128}, None],
        "output_type": "sigmoid",
        "loss_type": "l2",
        "reduction_type": "reduce_mean",
    }
    return mlp_ae.build(config, options)


TASKS = {
    "FixedMLPAE_mnist_32x32x32_bs128": partial(_autoencoder, dataset="mnist", hidden=(32, 32, 32)),
    "FixedMLPAE_mnist_128x32x128_bs128": partial(
        _autoencoder, dataset="mnist", hidden=(128, 32, 128)
    ),
    "FixedMLPAE_cifar10_128x32x128_bs128": partial(
        _autoencoder, dataset="cifar10", hidden=(128, 32, 128)
    ),
}
