"""Dense layers and multi-layer perceptrons."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Key, Params
from taskset.networks.activations import Activation
from taskset.networks.dims import Dim, Scalar
from taskset.networks.initializers import Initializer, LecunNormal


def init_dense(
    key: Key, inputs: Dim, outputs: Dim, initializer: Initializer | LecunNormal
) -> Params:
    """`{"weight": [inputs, outputs], "bias": [outputs]}` float32; the bias is zero."""
    return {"weight": initializer(key, inputs, outputs), "bias": jnp.zeros((outputs.padded,))}


def dense(params: Params, x: jax.Array) -> jax.Array:
    """`x`, [batch, inputs], times the weights plus the bias: [batch, outputs]."""
    return x @ params["weight"] + params["bias"][None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MLP:
    """Dense layers with an activation after all but the last.

    Of the hidden layers, the first `depth` are used, at least one; the others are padding, with no
    gradient, and as wide as the first in their arrays.
    """

    inputs: Dim
    hidden: tuple[Dim, ...]
    outputs: Dim
    activation: Activation
    initializer: Initializer | LecunNormal
    depth: Scalar | None = None  # [] int32; None: all hidden layers
    zero_start: bool = dataclasses.field(default=False, metadata={"static": True})  # of the outputs

    def init(self, key: Key) -> Params:
        """`{"layer0": {"weight", "bias"}, "layer1": ...}`."""
        last = len(self.hidden)
        layers, inputs = {}, self.inputs
        for index, width in enumerate(self.hidden):
            key_layer = jax.random.fold_in(key, index)
            layers[f"layer{index}"] = init_dense(key_layer, inputs, width, self.initializer)
            inputs = width
        key_last = jax.random.fold_in(key, last if self.depth is None else self.depth)
        inputs = self._last_width()
        outputs = init_dense(key_last, inputs, self.outputs, self.initializer)
        if self.zero_start:
            outputs = jax.tree.map(jnp.zeros_like, outputs)
        return {**layers, f"layer{last}": outputs}

    def apply(self, params: Params, x: jax.Array) -> jax.Array:
        """The outputs, [batch, outputs] float32, for inputs [batch, inputs]; zero in padding."""
        for index, width in enumerate(self.hidden):
            above = width.clear(self.activation(dense(params[f"layer{index}"], x)))
            if self.depth is None or index == 0:
                x = above
            else:
                x = jnp.where(index < self.depth, above, x)
        return self.outputs.clear(dense(params[f"layer{len(self.hidden)}"], x))

    def _last_width(self) -> Dim:
        """The width that the last layer reads."""
        if self.depth is None:
            return (self.inputs, *self.hidden)[-1]
        padded = self.hidden[-1].padded
        sizes = jnp.stack([jnp.asarray(width.size) for width in self.hidden])
        return Dim(padded, sizes[self.depth - 1])
