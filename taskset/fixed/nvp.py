"""The fixed tasks that are densities of images by Real NVP."""

import dataclasses
from functools import partial
from typing import Any

from taskset.configured import TaskSpec
from taskset.families import nvp
from taskset.options import Options


def _nvp(options: Options, num_bijectors: int, width: int) -> TaskSpec:
    """Networks of two hidden layers; built exactly, whatever the buckets: most fit in none."""
    config: dict[str, Any] = {
        "activation": "relu",
        "w_init": ["glorot_uniform", None],
        "dataset": ["mnist", {"bs": 64}, None],
        "hidden_units": [width, width],
        "num_bijectors": num_bijectors,
    }
    return nvp.build(config, dataclasses.replace(options, buckets="exact"))


TASKS = {
    "FixedNVP_mnist_2layer_bs64": partial(_nvp, num_bijectors=2, width=2048),
    "FixedNVP_mnist_3layer_thin_bs64": partial(_nvp, num_bijectors=3, width=128),
    "FixedNVP_mnist_5layer_bs64": partial(_nvp, num_bijectors=5, width=2048),
    "FixedNVP_mnist_5layer_thin_bs64": partial(_nvp, num_bijectors=5, width=128),
    # The released one has minibatches of 64 too, despite its name.
    "FixedNVP_mnist_9layer_thin_bs16": partial(_nvp, num_bijectors=9, width=128),
}
