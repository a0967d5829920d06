"""Classification of images by convolutions, a pool over all pixels, and a dense layer."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from taskset.configured import TaskSpec
from taskset.families.convolutions import (
    ConvClassifier,
    batch_rows,
    conv_stack,
    few_features_classes,
)
from taskset.families.image_inputs import image_input, image_spec
from taskset.networks.choices import Choice
from taskset.networks.conv import ConvLayer
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim
from taskset.options import Options

POOLS = ("mean", "max", "squared_mean")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvPooling(ConvClassifier):
    """Mean cross-entropy, in nats, of a dense layer on the pooled output of convolutions."""

    pool: Choice  # one of POOLS

    def read(self, x: jax.Array, layer: ConvLayer) -> jax.Array:
        """[batch, channels] of an output of a layer, [batch, side, side, channels]."""
        side = layer.window.outputs
        mean = lambda x: jnp.sum(x, axis=(1, 2)) / (side.count * side.count)
        return self.pool.branch(
            {
                "mean": lambda: mean(x),
                "max": lambda: jnp.max(_low_in_padding(x, side), axis=(1, 2)),
                "squared_mean": lambda: mean(x * x),
            }
        )


def _low_in_padding(x: jax.Array, side: Dim) -> jax.Array:
    """`x` with minus infinity where rows or columns are padding."""
    mask = side.mask()
    if mask is None:
        return x
    inside = (mask[:, None] & mask[None])[None, :, :, None]
    return jnp.where(inside, x, -jnp.inf)


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `conv_pooling_family`."""
    data = image_spec(config["dataset"], options)
    images = image_input(data, center=config["center_data"], options=options)
    stack = conv_stack(config, images, options)
    task = ConvPooling(
        images,
        stack,
        MLP(
            inputs=stack.layers[len(config["strides"]) - 1].channels,
            hidden=(),
            outputs=few_features_classes(data),
            activation=stack.activation,
            initializer=options.any_initializer(config.get("head_init", config["w_init"])),
        ),
        batch_rows(data),
        options.choice(config["pool_type"], POOLS),
    )
    return TaskSpec(task, data, task.batch.padded)
