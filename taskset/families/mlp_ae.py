"""Reconstruction of images by a multi-layer perceptron."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.families.image_inputs import image_input, image_spec
from taskset.networks.choices import Choice
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim
from taskset.networks.images import ImageInput
from taskset.options import Options

DEPTH = 6  # hidden layers of a bucket
WIDTHS = (128,)

SQUASHINGS = ("linear", "sigmoid", "tanh")  # of outputs
DISTANCES = ("l2", "l1")
REDUCTIONS = ("reduce_mean", "reduce_sum")  # over pixels

# What the outputs pass through, and whether pixels are in [-1, 1] for it.
OUTPUT_TYPES = {
    "tanh": ("tanh", True),
    "sigmoid": ("sigmoid", False),
    "linear_center": ("linear", True),
    "linear": ("linear", False),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MLPAutoencoder(ConfiguredTask):
    """Mean distance of images from an MLP's outputs for them."""

    images: ImageInput
    network: MLP
    batch: Dim
    squashing: Choice
    distance: Choice
    reduction: Choice

    def init(self, key: Key) -> Params:
        return self.network.init(key)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        pixels = self.images.flat(batch["image"])
        outputs = self.network.apply(params, pixels)
        difference = self._squashed(outputs) - pixels
        distance = self.distance.pick(
            {"l2": lambda: difference * difference, "l1": lambda: jnp.abs(difference)}
        )
        features = self.images.features
        per_example = self.reduction.pick(
            {
                "reduce_mean": lambda: features.mean(distance, axis=1),
                "reduce_sum": lambda: features.sum(distance, axis=1),
            }
        )
        return self.batch.mean(per_example)

    def _squashed(self, outputs: jax.Array) -> jax.Array:
        return self.squashing.pick(
            {
                "linear": lambda: outputs,
                "sigmoid": lambda: jax.nn.sigmoid(outputs),
                "tanh": lambda: jnp.tanh(outputs),
            }
        )


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `mlp_ae_family`."""
    data = image_spec(config["dataset"], options)
    squashing, center = OUTPUT_TYPES[config["output_type"]]
    images = image_input(data, center=center, options=options)
    sizes = config["hidden_units"]
    hidden = tuple(options.dim(size, WIDTHS) for size in sizes)
    if options.padded:
        hidden += (options.dim(1, WIDTHS),) * (DEPTH - len(sizes))
    network = MLP(
        inputs=images.features,
        hidden=hidden,
        outputs=images.features,
        activation=options.activation(config["activation"]),
        initializer=options.initializer(config["w_init"]),
        depth=options.count(len(sizes)),
    )
    task = MLPAutoencoder(
        images,
        network,
        data.batch,
        options.choice(squashing, SQUASHINGS),
        options.choice(config["loss_type"], DISTANCES),
        options.choice(config["reduction_type"], REDUCTIONS),
    )
    return TaskSpec(task, data, data.batch.padded)
