"""Small classifiers of handwritten digits, for the recipes of this folder."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from taskset.base import Batch, Dataset, Key, Params, Split, Task, TaskFamily
from taskset.data import sources
from taskset.data.arrays import ArrayDataset

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "elu": jax.nn.elu}


def cross_entropies(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Of each example, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Classifier(Task):
    """Softmax regression, or an MLP; the loss is the mean cross-entropy, in nats."""

    sizes: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    activation: str = dataclasses.field(default="tanh", metadata={"static": True})
    # Standard deviation of all tensors at the start; 0: of weights fan-in^-1/2, and biases are 0.
    spread: float = dataclasses.field(default=0.0, metadata={"static": True})

    def init(self, key: Key) -> Params:
        return [
            self._layer(key, inputs, outputs)
            for key, inputs, outputs in zip(
                jax.random.split(key, len(self.sizes) - 1), self.sizes, self.sizes[1:], strict=False
            )
        ]

    def _layer(self, key: Key, inputs: int, outputs: int) -> dict[str, jax.Array]:
        key_weight, key_bias = jax.random.split(key)
        weight = jax.random.normal(key_weight, (inputs, outputs))
        bias = jax.random.normal(key_bias, (outputs,))
        return {"weight": weight * (self.spread or inputs**-0.5), "bias": bias * self.spread}

    def logits(self, params: Params, images: jax.Array) -> jax.Array:
        """[num_images, num_classes]."""
        hidden = images
        for index, layer in enumerate(params):
            hidden = hidden if index == 0 else ACTIVATIONS[self.activation](hidden)
            hidden = hidden @ layer["weight"] + layer["bias"][None]
        return hidden

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        return jnp.mean(cross_entropies(self.logits(params, batch["image"]), batch["label"]))

    def accuracy(self, params: Params, batch: Batch) -> float:
        """The share of `batch` that is classified correctly."""
        return float(jnp.mean(jnp.argmax(self.logits(params, batch["image"]), 1) == batch["label"]))


@dataclasses.dataclass(frozen=True)
class Digits(TaskFamily):
    """A classifier of images, and how many of them, shuffled once, are for what."""

    num_train: int
    num_valid: int  # in the split "outer_valid"; what is left of the data is "test"
    hidden: tuple[int, ...] = ()
    activation: str = "tanh"
    spread: float = 0.0  # of the initial tensors, as in `Classifier`
    batch_size: int = 100
    centred: bool = False  # images from -1 to 1, and not from 0 to 1
    noise: float = 0.0  # standard deviation of what is added to images
    wrong_labels: int = 0  # of the first so many examples of "train", by another class
    num_pixels: int = 64
    dataset: str = "digits"
    source: str = "embedded"

    @property
    def classifier(self) -> Classifier:
        """The task, which is always the same."""
        return Classifier((self.num_pixels, *self.hidden, 10), self.activation, self.spread)

    def load_data(self) -> ArrayDataset:
        splits = sources.read(self.dataset, self.source).values()
        images = np.concatenate([split["image"] for split in splits]).astype(np.float32) / 255
        labels = np.concatenate([split["label"] for split in splits]).astype(np.int32)
        draw = np.random.RandomState(0)
        order = draw.permutation(len(labels))
        images, labels = images[order], labels[order]
        images = 2 * images - 1 if self.centred else images
        images += self.noise * draw.randn(*images.shape).astype(np.float32)
        labels[: self.wrong_labels] += draw.randint(1, 10, self.wrong_labels)
        ends = (self.num_train, self.num_train + self.num_valid)
        parts = zip(np.split(images, ends), np.split(labels % 10, ends), strict=True)
        names: tuple[Split, ...] = ("train", "outer_valid", "test")
        batches = ({"image": jnp.asarray(x), "label": jnp.asarray(y)} for x, y in parts)
        with jax.ensure_compile_time_eval():
            return ArrayDataset(dict(zip(names, batches, strict=True)))

    def shapes(self) -> ArrayDataset:
        """Of the data that are not for testing; reads nothing."""

        def batch(number: int) -> dict[str, jax.ShapeDtypeStruct]:
            image = jax.ShapeDtypeStruct((number, self.num_pixels), jnp.float32)
            return {"image": image, "label": jax.ShapeDtypeStruct((number,), jnp.int32)}

        return ArrayDataset({"train": batch(self.num_train), "outer_valid": batch(self.num_valid)})

    def sample(self, data: Dataset, key: Key) -> Classifier:
        return self.classifier


def whole(data: Dataset, split: Split) -> dict[str, np.ndarray]:
    """All examples of a split, as numpy arrays."""
    return {name: np.asarray(array) for name, array in data.whole(split).items()}


def penalty(coefficient: Any, params: Params) -> jax.Array:
    """The sum of all squares, times the coefficient."""
    return coefficient * sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(params))
