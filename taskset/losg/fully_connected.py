"""A small network that tells two classes apart."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.label_loss import label_loss, scaled_normal
from taskset.losg.problem import Dims, Problem
from taskset.networks.activations import Activation
from taskset.networks.dense import dense
from taskset.networks.dims import Dim, Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FullyConnected(Problem):
    """Dense layers with an activation after all but the last.

    A batch is {"rows": [batch, inputs] float32, "label": [batch] float32 of 0 and 1}. A hidden
    layer of which no unit is real is left out; the first one has some.
    """

    inputs: Dim
    hidden: tuple[Dim, ...]
    activation: Activation
    batch: Dim

    @property
    def dims(self) -> Dims:
        layers, inputs = {}, self.inputs
        for index, width in enumerate(self.hidden):
            layers[f"hidden{index}"] = {"weight": (inputs, width), "bias": (width,)}
            inputs = width
        outputs = Dim(2)
        layers["output"] = {"weight": (self._last_width(), outputs), "bias": (outputs,)}
        return layers

    def init(self, key: Key) -> Params:
        return scaled_normal(key, self.dims)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        x = batch["rows"]
        for index, width in enumerate(self.hidden):
            above = width.clear(self.activation(dense(params[f"hidden{index}"], x)))
            x = above if width.size is None or index == 0 else jnp.where(width.size > 0, above, x)
        logits = dense(params["output"], x)
        return label_loss(logits, batch["label"], self.batch, params, self._num_tensors())

    def _last_width(self) -> Dim:
        """The width that the last layer reads: that of the last hidden layer that is there."""
        sizes: list[Scalar] = [width.size for width in self.hidden]
        if sizes[-1] is None:
            return self.hidden[-1]
        size = functools.reduce(lambda last, size: jnp.where(size > 0, size, last), sizes)
        return Dim(self.hidden[-1].padded, size)

    def _num_tensors(self) -> Scalar:
        """The number of weight matrices and biases, [] float32."""
        present = [jnp.minimum(width.count, 1.0) for width in self.hidden]
        return 2 * (sum(present, jnp.ones(())))
