"""Classification of images by convolutions and dense layers on all that they put out."""

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
    many_features_classes,
)
from taskset.families.image_inputs import image_input, image_spec
from taskset.networks.conv import ConvLayer
from taskset.networks.dense import MLP
from taskset.options import Options

FEATURES = (1024, 4096, 8192, 16384, 65536)  # of buckets: most tasks have less than the second
DEPTH = 3  # hidden layers of a bucket; a network without any has a bucket of its own
WIDTHS = (128,)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvFC(ConvClassifier):
    """Mean cross-entropy, in nats, of an MLP on the flat output of convolutions."""

    def read(self, x: jax.Array, layer: ConvLayer) -> jax.Array:
        """[batch, features] of an output of a layer: pixel by pixel, then zeros."""
        side, channels = layer.window.outputs, layer.channels
        flat = x.reshape(x.shape[0], -1)
        if side.size is None or channels.size is None:
            return flat
        position = jnp.arange(self.head.inputs.padded, dtype=jnp.int32)
        pixel, channel = position // channels.size, position % channels.size
        row, column = pixel // side.size, pixel % side.size
        where = (row * side.padded + column) * channels.padded + channel
        # Beyond the last feature, indices that are out of bounds, no two of them the same.
        where = jnp.where(row < side.size, where, flat.shape[1] + position)
        return flat.at[:, where].get(mode="fill", fill_value=0.0, unique_indices=True)


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `conv_fc_family`."""
    data = image_spec(config["dataset"], options)
    images = image_input(data, center=config["center_data"], options=options)
    stack = conv_stack(config, images, options)
    last = stack.layers[len(config["strides"]) - 1]
    num_features = int(last.window.outputs.count) ** 2 * int(last.channels.count)
    hidden_sizes = config["fc_hidden_units"]
    hidden = tuple(options.dim(size, WIDTHS) for size in hidden_sizes)
    depth = None
    if options.padded and hidden:
        hidden += (options.dim(1, WIDTHS),) * (DEPTH - len(hidden_sizes))
        depth = options.count(len(hidden_sizes))
    head = MLP(
        inputs=options.dim(num_features, FEATURES),
        hidden=hidden,
        outputs=few_features_classes(data) if hidden else many_features_classes(data),
        activation=stack.activation,
        initializer=stack.initializer,
        depth=depth,
    )
    batch = batch_rows(data)
    return TaskSpec(ConvFC(images, stack, head, batch), data, batch.padded)
