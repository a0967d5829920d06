"""From images to vectors by convolutions, and back by transposed ones; for arrays without padding.

Each layer halves the sides of an image, or doubles them.
"""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Key, Params
from taskset.networks.activations import Activation
from taskset.networks.conv import KERNEL_SIDE, ConvStack
from taskset.networks.dense import MLP, dense, init_dense
from taskset.networks.dims import Dim
from taskset.networks.initializers import Initializer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvEncoder:
    """Convolutions, and a dense layer on all that they put out."""

    stack: ConvStack
    head: MLP

    def init(self, key: Key) -> Params:
        """`{"convolutions": ..., "head": ...}`."""
        key_stack, key_head = jax.random.split(key)
        return {"convolutions": self.stack.init(key_stack), "head": self.head.init(key_head)}

    def apply(self, params: Params, images: jax.Array) -> jax.Array:
        """[batch, outputs] of images [batch, side, side, channels]."""
        read = lambda x, _: x.reshape(x.shape[0], -1)
        flat = self.stack.apply(params["convolutions"], images, read)
        return self.head.apply(params["head"], flat)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvDecoder:
    """A dense layer to a small image, transposed convolutions, and a 1x1 convolution.

    The first and the last have no activation.
    """

    inputs: Dim
    first: tuple[int, int, int] = dataclasses.field(metadata={"static": True})  # the small image
    channels: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    outputs: int = dataclasses.field(metadata={"static": True})  # channels
    activation: Activation
    initializer: Initializer

    def init(self, key: Key) -> Params:
        """`{"dense": {"weight", "bias"}, "conv0": ..., "pixels": ...}`.

        Weights of convolutions are [3, 3, inputs, outputs], those of "pixels" [inputs, outputs].
        """
        height, width, inputs = self.first
        keys = jax.random.split(key, len(self.channels) + 2)
        flat = Dim(height * width * inputs)
        params = {"dense": init_dense(keys[0], self.inputs, flat, self.initializer)}
        window = (Dim(KERNEL_SIDE), Dim(KERNEL_SIDE))
        for index, outputs in enumerate(self.channels):
            weight = self.initializer(keys[index + 1], *window, Dim(inputs), Dim(outputs))
            params[f"conv{index}"] = {"weight": weight, "bias": jnp.zeros((outputs,))}
            inputs = outputs
        params["pixels"] = init_dense(keys[-1], Dim(inputs), Dim(self.outputs), self.initializer)
        return params

    def apply(self, params: Params, code: jax.Array) -> jax.Array:
        """[batch, side, side, outputs] of vectors [batch, inputs]."""
        x = dense(params["dense"], code).reshape(-1, *self.first)
        for index in range(len(self.channels)):
            own = params[f"conv{index}"]
            x = transposed_conv(own["weight"], x) + own["bias"].reshape(1, 1, 1, -1)
            x = self.activation(x)
        last = params["pixels"]
        return jnp.tensordot(x, last["weight"], 1) + last["bias"].reshape(1, 1, 1, -1)


def transposed_conv(weight: jax.Array, x: jax.Array) -> jax.Array:
    """[batch, 2 * side, 2 * side, outputs] of `x` [batch, side, side, inputs], stride 2, no bias.

    The transpose, as TensorFlow has it, of a convolution of an even side with padding "SAME": what
    an entry adds to begins at twice its place, and what lies beyond the end is lost.
    """
    shape = (weight.shape[2], -1)
    product = jnp.tensordot(x, jnp.moveaxis(weight, 2, 0).reshape(shape), 1)
    taps = product.reshape(*x.shape[:3], KERNEL_SIDE, KERNEL_SIDE, weight.shape[3])
    rows = _interleaved(*(taps[:, :, :, tap] for tap in range(KERNEL_SIDE)), axis=1)
    return _interleaved(*(rows[:, :, :, tap] for tap in range(KERNEL_SIDE)), axis=2)


def _interleaved(first: jax.Array, second: jax.Array, third: jax.Array, axis: int) -> jax.Array:
    """Twice the entries of `axis`: first[i] + third[i - 1] at 2i, and second[i] at 2i + 1."""
    widths = [(0, 0)] * third.ndim
    widths[axis] = (1, 0)
    later = jax.lax.slice_in_dim(jnp.pad(third, widths), 0, third.shape[axis], axis=axis)
    pairs = jnp.stack([first + later, second], axis=axis + 1)
    shape = list(first.shape)
    shape[axis] *= 2
    return pairs.reshape(shape)
