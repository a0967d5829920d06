"""Minibatches of images as what networks read."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.networks.dims import Dim, Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ImageInput:
    """Pixels as float32 in [0, 1], or that times `scale` plus `offset`.

    Images come on a canvas of `shape`; where a crop made them smaller than it, they lie in its
    first rows and columns.
    """

    shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})  # of the canvas
    height: Dim
    width: Dim
    scale: Scalar | None = (
        None  # [] float32; with offset -1, a scale of 2 centres images on [-1, 1]
    )
    offset: Scalar | None = None

    @property
    def features(self) -> Dim:
        """The values of an image, flat."""
        channels = self.shape[2]
        padded = self.height.padded * self.width.padded * channels
        if self.height.size is None or self.width.size is None:
            return Dim(padded)
        return Dim(padded, self.height.size * self.width.size * channels)

    def canvas(self, image: jax.Array) -> jax.Array:
        """[batch, height, width, channels] float32 of a minibatch, zero beyond the images."""
        pixels = self._pixels(image).reshape(-1, *self.shape)
        return self.width.clear(self.height.clear(pixels, 1), 2)

    def flat(self, image: jax.Array) -> jax.Array:
        """[batch, features] float32: the pixels of an image row by row, then zeros."""
        pixels = self._pixels(image)
        if self.width.size is None:
            return pixels
        _, columns, channels = self.shape
        position = jnp.arange(self.features.padded)
        row_size = self.width.size * channels
        index = position // row_size * (columns * channels) + position % row_size
        return self.features.clear(pixels[:, jnp.minimum(index, pixels.shape[1] - 1)])

    def _pixels(self, image: jax.Array) -> jax.Array:
        is_bytes = image.dtype == jnp.uint8
        pixels = image.astype(jnp.float32) * (1 / 255) if is_bytes else image
        return pixels if self.scale is None else pixels * self.scale + self.offset
