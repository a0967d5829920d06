"""Stacks of 3x3 convolutions on square images, whose sizes, padding and depth may be inputs.

A convolution is written as the product of a matrix of patches with one of weights. Tasks that are
trained side by side have weights of their own, and for those XLA has no fast convolution on a CPU:
in a loop of training steps, its own takes 10 to 50 times as long.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp

from taskset.base import Key, Params
from taskset.networks.activations import Activation
from taskset.networks.branches import anywhere
from taskset.networks.choices import Choice
from taskset.networks.dims import Dim, Scalar
from taskset.networks.initializers import Initializer

KERNEL_SIDE = 3
BATCH_NORM_EPSILON = 1e-3
BIASES = ("used", "none")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Window:
    """Where the windows of a convolution lie along either side of a square image.

    There are `outputs` of them, `stride` entries apart. The first begins `zeros` entries before
    the image, less `skipped` ones: so it can be an input whether there are zeros at all.
    """

    stride: int = dataclasses.field(metadata={"static": True})
    zeros: int = dataclasses.field(metadata={"static": True})
    outputs: Dim
    skipped: Scalar | None = None  # [] int32, 0 or 1; None: 0

    def patches(self, x: jax.Array) -> jax.Array:
        """What the windows cover of [batch, side, side, channels], row by row.

        [batch, outputs, outputs, 9 * channels], with zeros beyond the image.
        """
        return self._covered(self._covered(x, 2), 1)

    def clear(self, x: jax.Array) -> jax.Array:
        """`x`, [batch, outputs, outputs, channels], with zeros where there is no window."""
        return self.outputs.clear(self.outputs.clear(x, 1), 2)

    def _covered(self, x: jax.Array, axis: int) -> jax.Array:
        """The entries of `axis` that each window covers, side by side in the channels."""
        last = (self.outputs.padded - 1) * self.stride  # where the last window begins
        length = last + KERNEL_SIDE + (self.skipped is not None)
        widths = [(0, 0)] * x.ndim
        widths[axis] = (self.zeros, max(length - self.zeros - x.shape[axis], 0))
        x = jnp.pad(x, widths)
        if self.skipped is not None:
            x = jax.lax.dynamic_slice_in_dim(x, self.skipped, length - 1, axis)
        taps = range(KERNEL_SIDE)
        slices = [jax.lax.slice_in_dim(x, t, t + last + 1, self.stride, axis) for t in taps]
        return jnp.concatenate(slices, axis=-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvLayer:
    """The shape of what a convolution puts out."""

    window: Window
    channels: Dim

    def empty(self, batch_size: int) -> jax.Array:
        """Zeros in the shape of an output."""
        side = self.window.outputs.padded
        return jnp.zeros((batch_size, side, side, self.channels.padded))


def conv(weight: jax.Array, x: jax.Array, window: Window) -> jax.Array:
    """[batch, outputs, outputs, channels] for `x` [batch, side, side, inputs], without bias."""
    return jnp.tensordot(window.patches(x), weight.reshape(-1, weight.shape[-1]), 1)


# Reads a vector, [batch, features], off the output of a layer.
Read = Callable[[jax.Array, ConvLayer], jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConvStack:
    """Convolutions with an activation after each, the last too.

    The first `depth` layers are used, at least one; the others are padding, and not computed.
    With `normalized`, each layer has batch normalisation before its activation, by statistics of
    the batch at hand, with an offset and no scale (https://arxiv.org/abs/1502.03167).
    """

    inputs: int = dataclasses.field(metadata={"static": True})  # channels
    layers: tuple[ConvLayer, ...]
    activation: Activation
    initializer: Initializer
    biases: Choice = Choice(BIASES[:1])  # one of BIASES
    normalized: bool = dataclasses.field(default=False, metadata={"static": True})
    depth: Scalar | None = None  # [] int32; None: all layers

    def init(self, key: Key) -> Params:
        """`{"conv0": {"weight", "bias"}, "conv1": ...}`; "offset" when normalised.

        Weights are [3, 3, inputs, outputs] float32, the others [outputs] and zero.
        """
        zeros = ["bias"] * ("used" in self.biases.names) + ["offset"] * self.normalized
        params = {}
        for index, weight in enumerate(self._init_weights(key)):
            vectors = {name: jnp.zeros(weight.shape[-1:]) for name in zeros}
            params[f"conv{index}"] = {"weight": weight, **vectors}
        return params

    def _init_weights(self, key: Key) -> list[jax.Array]:
        """The weights of all layers: drawn side by side, which compiles faster, and then cut."""
        outputs = [layer.channels for layer in self.layers]
        inputs = [Dim(self.inputs), *outputs[:-1]]
        window = (Dim(KERNEL_SIDE), Dim(KERNEL_SIDE))
        size = max(dim.padded for dim in (*inputs, *outputs))

        def draw(key: Key, num_inputs: jax.Array, num_outputs: jax.Array) -> jax.Array:
            return self.initializer(key, *window, Dim(size, num_inputs), Dim(size, num_outputs))

        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(outputs)))
        drawn = jax.vmap(draw)(keys, _sizes(inputs), _sizes(outputs))
        shapes = [(i.padded, o.padded) for i, o in zip(inputs, outputs, strict=True)]
        return [drawn[index, :, :, :i, :o] for index, (i, o) in enumerate(shapes)]

    def apply(self, params: Params, images: jax.Array, read: Read) -> jax.Array:
        """[batch, features] float32: what `read` makes of the output of the last layer used.

        `images` are [batch, side, side, inputs], zero in their padding. Rows do not depend on each
        other, unless `normalized`.
        """
        if self.depth is not None:
            return self._first(params, images, read, self.depth)
        x = images
        for index in range(len(self.layers)):
            x = self._layer(params, x, index)
        return read(x, self.layers[-1])

    def _first(self, params: Params, x: jax.Array, read: Read, depth: Scalar) -> jax.Array:
        last = x = self._layer(params, x, 0)
        for index in range(1, len(self.layers)):
            go_on = partial(self._go_on, params, index, depth)
            stay = lambda x, last, index=index: (self.layers[index].empty(x.shape[0]), last)
            x, last = jax.lax.cond(anywhere(index < depth), go_on, stay, x, last)
        return read(last, self._last_layer(depth))

    def _go_on(
        self, params: Params, index: int, depth: Scalar, x: jax.Array, last: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The output of a layer, and with zeros around it in place of `last` where it is used."""
        x = self._layer(params, x, index)
        missing = last.shape[1] - x.shape[1]
        large = jnp.pad(x, ((0, 0), (0, missing), (0, missing), (0, 0)))
        return x, jnp.where(index < depth, large, last)

    def _last_layer(self, depth: Scalar) -> ConvLayer:
        """The last layer used, with the output of the first for a canvas."""
        first = self.layers[0]
        sides = _sizes([layer.window.outputs for layer in self.layers])
        channels = _sizes([layer.channels for layer in self.layers])
        outputs = Dim(first.window.outputs.padded, sides[depth - 1])
        window = dataclasses.replace(first.window, outputs=outputs)
        return ConvLayer(window, Dim(first.channels.padded, channels[depth - 1]))

    def _layer(self, params: Params, x: jax.Array, index: int) -> jax.Array:
        """The output of one layer; gradients keep the products, and make the rest again."""
        layer = partial(self._compute, self.layers[index])
        return jax.checkpoint(layer, policy=jax.checkpoint_policies.dots_saveable)(
            params[f"conv{index}"], x
        )

    def _compute(self, layer: ConvLayer, params: Params, x: jax.Array) -> jax.Array:
        x = conv(params["weight"], x, layer.window)
        if "bias" in params:
            bias = params["bias"].reshape(1, 1, 1, -1)
            x = self.biases.pick({"used": lambda: x + bias, "none": lambda: x})
        if self.normalized:
            x = _normalized(x) + params["offset"].reshape(1, 1, 1, -1)
        return layer.window.clear(layer.channels.clear(self.activation.branched(x)))


def _sizes(dims: Sequence[Dim]) -> jax.Array:
    """The numbers of real entries, [len(dims)] int32."""
    sizes = [dim.padded if dim.size is None else dim.size for dim in dims]
    return jnp.stack([jnp.asarray(size, jnp.int32) for size in sizes])


def _normalized(x: jax.Array) -> jax.Array:
    """Each channel with mean 0 and variance 1 over the batch."""
    centered = x - jnp.mean(x, axis=(0, 1, 2), keepdims=True)
    variance = jnp.mean(centered * centered, axis=(0, 1, 2), keepdims=True)
    return centered * jax.lax.rsqrt(variance + BATCH_NORM_EPSILON)
