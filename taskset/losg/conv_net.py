"""A small convolutional network."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem, normal
from taskset.networks.dense import dense
from taskset.networks.dims import Dim


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvNet(Problem):
    """Convolutions of stride 1 that keep the size, each with a relu, and a dense layer.

    The loss is the mean cross-entropy in nats. A batch is {"image": [batch, height, width,
    channels] float32, "label": [batch] int32}.
    """

    image_shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    filters: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    num_classes: int = dataclasses.field(metadata={"static": True})
    kernel_size: int = dataclasses.field(default=3, metadata={"static": True})

    @property
    def dims(self) -> Dims:
        height, width, channels = self.image_shape
        layers, window = {}, (Dim(self.kernel_size),) * 2
        for index, outputs in enumerate(self.filters):
            kernel = (*window, Dim(channels), Dim(outputs))
            layers[f"conv{index}"] = {"weight": kernel, "bias": (Dim(outputs),)}
            channels = outputs
        weight = (Dim(height * width * channels), Dim(self.num_classes))
        return layers | {"output": {"weight": weight, "bias": (Dim(self.num_classes),)}}

    def init(self, key: Key) -> Params:
        """Normal numbers of standard deviation 0.01."""
        return jax.tree.map(lambda x: 0.01 * x, normal(key, self.dims))

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        x = batch["image"]
        for index in range(len(self.filters)):
            layer = params[f"conv{index}"]
            x = jax.lax.conv_general_dilated(
                x, layer["weight"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + layer["bias"][None, None, None])
        log_probabilities = jax.nn.log_softmax(dense(params["output"], x.reshape(len(x), -1)))
        return -jnp.mean(jnp.take_along_axis(log_probabilities, batch["label"][:, None], axis=1))
