"""The fixed tasks that are densities of images by masked autoregressive flows."""

import dataclasses
from functools import partial
from typing import Any

from taskset.configured import TaskSpec
from taskset.families import maf
from taskset.options import Options


def _maf(options: Options, dataset: str, num_bijectors: int, width: int) -> TaskSpec:
    """Networks of two hidden layers; built exactly, whatever the buckets: most fit in none."""
    config: dict[str, Any] = {
        "activation": "relu",
        "w_init": ["glorot_normal", None],
        "dataset": [dataset, {"bs": 64}, None],
        "hidden_units": [width, width],
        "num_bijectors": num_bijectors,
    }
    return maf.build(config, dataclasses.replace(options, buckets="exact"))


TASKS = {
    "FixedMAF_mnist_2layer_bs64": partial(_maf, dataset="mnist", num_bijectors=2, width=2048),
    "FixedMAF_mnist_3layer_thin_bs64": partial(_maf, dataset="mnist", num_bijectors=3, width=128),
    "FixedMAF_cifar10_3layer_bs64": partial(_maf, dataset="cifar10", num_bijectors=3, width=1024),
}
