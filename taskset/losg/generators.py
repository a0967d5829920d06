"""The matrices and data sets of the problems, drawn by key.

What is drawn has the same values whatever the padding, and zeros there.
"""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp

from taskset.base import Batch, Dataset, Key
from taskset.data.constants import Constants, OneStream
from taskset.networks.dims import Dim
from taskset.networks.initializers import draw_normal, draw_uniform

NUM_BITS = 5  # of an example of noisy parity
FLIP_PROBABILITY = 0.25  # of its label
DEPTH, WIDTH = 6, 20  # of a random network


class Generator(abc.ABC):
    """How the data of an instance of a problem are drawn. A pytree, and hashable."""

    @abc.abstractmethod
    def draw(self, key: Key) -> Batch:
        """The arrays of an instance."""

    @abc.abstractmethod
    def dataset(self, arrays: Batch) -> Dataset:
        """The same as a data set."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LinearSystem(Generator):
    """{"matrix": [dim, dim], "target": [dim]} float32, standard normal, the same in every batch."""

    dim: Dim

    def draw(self, key: Key) -> Batch:
        key_matrix, key_target = jax.random.split(key)
        matrix = draw_normal(key_matrix, (self.dim.padded,) * 2)
        target = draw_normal(key_target, (self.dim.padded,))
        return {
            "matrix": self.dim.clear(self.dim.clear(matrix, 0), 1),
            "target": self.dim.clear(target),
        }

    def dataset(self, arrays: Batch) -> Dataset:
        return Constants(arrays)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Samples(Generator):
    """Examples, the same for all splits."""

    num_examples: Dim

    def dataset(self, arrays: Batch) -> Dataset:
        size = self.num_examples.size
        return OneStream(arrays, None if size is None else jnp.asarray(size))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NoisyParity(Samples):
    """{"ids": [num_examples, 5] int32 of 0 and 1, "label": [num_examples] float32}.

    The label is the parity of the ids, flipped with probability 0.25.
    """

    def draw(self, key: Key) -> Batch:
        uniform = draw_uniform(key, (self.num_examples.padded, NUM_BITS + 1))
        ids = (uniform[:, :NUM_BITS] > 0).astype(jnp.int32)
        flips = (uniform[:, NUM_BITS] > 1 - 2 * FLIP_PROBABILITY).astype(jnp.int32)
        parity = (jnp.sum(ids, axis=1) + flips) % 2
        return {"ids": ids, "label": parity.astype(jnp.float32)}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RandomMLP(Samples):
    """{"rows": [num_examples, features], "label": [num_examples]} float32.

    The rows are standard normal. The label is 1 where the first unit of a random network of relus
    is positive; its weights have standard deviation sqrt(2 / features) in every layer.
    """

    features: Dim

    def draw(self, key: Key) -> Batch:
        key_rows, key_weights = jax.random.split(key)
        rows = draw_normal(key_rows, (self.num_examples.padded, self.features.padded))
        rows = self.features.clear(rows)
        stdev = math.sqrt(2) / jnp.sqrt(self.features.count)
        x, inputs = rows, self.features.padded
        for layer in range(DEPTH):
            weight = draw_normal(jax.random.fold_in(key_weights, layer), (inputs, WIDTH))
            x, inputs = jax.nn.relu(x @ (stdev * weight)), WIDTH
        return {"rows": rows, "label": (x[:, 0] > 0).astype(jnp.float32)}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RandomRows(Samples):
    """{"rows": [num_examples, features] float32}, standard normal.

    Those of `RandomMLP`, for problems that have no use for its labels.
    """

    features: Dim

    def draw(self, key: Key) -> Batch:
        rows = draw_normal(key, (self.num_examples.padded, self.features.padded))
        return {"rows": self.features.clear(rows)}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RandomSymmetric(Samples):
    """{"rows": [num_examples, features] float32}: normal rows, each followed by its negative.

    The number of examples is to be even.
    """

    features: Dim

    def draw(self, key: Key) -> Batch:
        half = -(-self.num_examples.padded // 2)
        rows = self.features.clear(draw_normal(key, (half, self.features.padded)))
        both = jnp.stack([rows, -rows], axis=1).reshape(2 * half, -1)
        return {"rows": both[: self.num_examples.padded]}
