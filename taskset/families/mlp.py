"""Classification by a multi-layer perceptron."""

import dataclasses
import itertools
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Key, Params, Task, TaskFamily
from taskset.data import sources
from taskset.data.arrays import ArrayDataset
from taskset.distributions import log_uniform_int, one_of
from taskset.errors import InputError, unknown_name

LARGEST_WIDTH = 100_000
ACTIVATIONS = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "gelu": jax.nn.gelu,
    "sigmoid": jax.nn.sigmoid,
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MLPClassification(Task):
    """Mean cross-entropy, in nats, of an MLP on flat uint8 images."""

    # inputs, hidden layers, classes
    widths: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    activation: str = dataclasses.field(metadata={"static": True})

    def init(self, key: Key) -> Params:
        """Weights normal with variance 1 / inputs of the layer (truncated at 2), biases zero."""
        draw = jax.nn.initializers.lecun_normal()
        layers = {}
        for index, (fan_in, fan_out) in enumerate(itertools.pairwise(self.widths)):
            weight = draw(jax.random.fold_in(key, index), (fan_in, fan_out))
            layers[f"layer{index}"] = {"weight": weight, "bias": jnp.zeros((fan_out,))}
        return layers

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        hidden = batch["image"].astype(jnp.float32) * (1 / 255)
        last = len(self.widths) - 2
        for index in range(last + 1):
            layer = params[f"layer{index}"]
            hidden = hidden @ layer["weight"] + layer["bias"][None]
            if index < last:
                hidden = ACTIVATIONS[self.activation](hidden)
        one_hot = jax.nn.one_hot(batch["label"], self.widths[-1])
        # Two separate means: reduced together, they take XLA on a CPU a sixth of an inner step.
        picked = jnp.sum(hidden * one_hot) / hidden.shape[0]
        return jnp.mean(jax.nn.logsumexp(hidden, axis=-1)) - picked


@dataclasses.dataclass(frozen=True)
class MLPFamily(TaskFamily):
    """MLPs on one data set; tasks differ in their random start and in their batches.

    Raises `InputError` for an unknown data set, source or activation, or a size below 1.
    """

    dataset: str = "digits"
    source: str = "embedded"  # or "tfds"
    hidden: tuple[int, ...] = (32,)  # widths of the hidden layers; none: logistic regression
    activation: str = "relu"  # one of ACTIVATIONS
    batch_size: int = 64

    def __post_init__(self) -> None:
        sources.check(self.dataset, self.source)
        if self.activation not in ACTIVATIONS:
            raise unknown_name("activation", self.activation, ACTIVATIONS)
        for width in self.hidden:
            if not 1 <= width <= LARGEST_WIDTH:
                raise InputError(
                    f"mlp: hidden is {self.hidden}; widths must be from 1 to {LARGEST_WIDTH:,}"
                )
        if self.batch_size < 1:
            raise InputError(f"mlp: batch_size is {self.batch_size}; it must be at least 1")

    @classmethod
    def draw(cls, rng: np.random.RandomState) -> Self:
        """A random configuration on an embedded data set, of 1 to 3 layers."""
        num_layers = rng.randint(1, 4)
        return cls(
            dataset=one_of(rng, sources.names("embedded")),
            hidden=tuple(log_uniform_int(rng, 8, 128) for _ in range(num_layers)),
            activation=one_of(rng, list(ACTIVATIONS)),
            batch_size=log_uniform_int(rng, 8, 128),
        )

    def load_data(self) -> ArrayDataset:
        return sources.load(self.dataset, self.source)

    def sample(self, key: Key) -> MLPClassification:
        del key  # tasks differ in their random start, which is drawn by `init`
        info = sources.info(self.dataset, self.source)
        return MLPClassification(
            (info.num_features, *self.hidden, info.num_classes), self.activation
        )
