"""Linear classifiers of two classes, on features or on a few binary ids."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.label_loss import label_loss, scaled_normal
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Dim

NUM_IDS = 2  # values of an id
CLASSES = Dim(2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SparseSoftmaxRegression(Problem):
    """A linear classifier of the sum of the embeddings of ids.

    A batch is {"ids": [batch, 5] int32 of 0 and 1, "label": [batch] float32 of 0 and 1}.
    """

    features: Dim  # of an embedding
    batch: Dim

    @property
    def dims(self) -> Dims:
        embedding = (Dim(NUM_IDS), self.features)
        return {"embedding": embedding, "weight": (self.features, CLASSES), "bias": (CLASSES,)}

    def init(self, key: Key) -> Params:
        return scaled_normal(key, self.dims)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        features = id_counts(batch["ids"], params["embedding"].dtype) @ params["embedding"]
        logits = features @ params["weight"] + params["bias"][None]
        return label_loss(logits, batch["label"], self.batch, params, len(params))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneHotSparseSoftmaxRegression(Problem):
    """The same without an embedding: a linear classifier of how often each id occurs."""

    batch: Dim

    @property
    def dims(self) -> Dims:
        return {"weight": (Dim(NUM_IDS), CLASSES), "bias": (CLASSES,)}

    def init(self, key: Key) -> Params:
        return scaled_normal(key, self.dims)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        counts = id_counts(batch["ids"], params["weight"].dtype)
        logits = counts @ params["weight"] + params["bias"][None]
        return label_loss(logits, batch["label"], self.batch, params, len(params))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SoftmaxRegression(Problem):
    """A linear classifier of features.

    A batch is {"rows": [batch, features] float32, "label": [batch] float32 of 0 and 1}.
    """

    features: Dim
    batch: Dim

    @property
    def dims(self) -> Dims:
        return {"weight": (self.features, CLASSES), "bias": (CLASSES,)}

    def init(self, key: Key) -> Params:
        return scaled_normal(key, self.dims)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        logits = batch["rows"] @ params["weight"] + params["bias"][None]
        return label_loss(logits, batch["label"], self.batch, params, len(params))


def id_counts(ids: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """How often each id occurs in each row of `ids`, [batch, NUM_IDS]."""
    return jnp.sum(jax.nn.one_hot(ids, NUM_IDS, dtype=dtype), axis=1)
