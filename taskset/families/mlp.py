"""Classification by a multi-layer perceptron."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Dataset, Key, Params, Task, TaskFamily
from taskset.data import sources
from taskset.errors import InputError, unknown_name

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "gelu": jax.nn.gelu, "sigmoid": jax.nn.sigmoid}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MLPClassification(Task):
    """Mean cross-entropy, in nats, of an MLP on flat uint8 images. Every task is one random start."""

    widths: tuple[int, ...] = dataclasses.field(metadata={"static": True})  # inputs, hidden, classes
    activation: str = dataclasses.field(metadata={"static": True})

    def init(self, key: Key) -> Params:
        """Weights normal with variance 1 / inputs of the layer (truncated at 2), biases zero."""
        draw = jax.nn.initializers.lecun_normal()
        layers = {}
        for index, (fan_in, fan_out) in enumerate(zip(self.widths, self.widths[1:])):
            weight = draw(jax.random.fold_in(key, index), (fan_in, fan_out))
            layers[f"layer{index}"] = {"weight": weight, "bias": jnp.zeros((fan_out,))}
        return layers

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        hidden = batch["image"].astype(jnp.float32) * (1 / 255)
        last = len(self.widths) - 2
        for index in range(last + 1):
            layer = params[f"layer{index}"]
            hidden = hidden @ layer["weight"] + layer["bias"]
            if index < last:
                hidden = ACTIVATIONS[self.activation](hidden)
        one_hot = jax.nn.one_hot(batch["label"], self.widths[-1])
        return jnp.mean(jax.nn.logsumexp(hidden, axis=-1) - jnp.sum(hidden * one_hot, axis=-1))


@dataclasses.dataclass(frozen=True)
class MLPFamily(TaskFamily):
    """MLPs on one data set; tasks differ in their random start."""

    dataset_name: str = "digits"
    source: str = "embedded"  # or "tfds"
    hidden: tuple[int, ...] = (32,)
    activation: str = "relu"
    batch_size: int = 64
