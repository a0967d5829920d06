"""TaskSet's random changes of images: crops, flips, and changes of colour.

Which of them a configuration has is an input of the compiled program, as are their strengths.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Dataset, Key, Split
from taskset.networks.branches import anywhere
from taskset.networks.dims import Scalar


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """The strengths of a configuration; by default, nothing is changed."""

    crop_amount: int = 0  # pixels by which each side is shortened
    flip_left_right: bool = False
    flip_up_down: bool = False
    do_color_aug: bool = False
    brightness: float = 0.0  # largest shift; images are in [0, 1]
    saturation: float = 0.0  # largest relative change, as for contrast
    hue: float = 0.0  # largest shift, in turns of the colour circle
    contrast: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it changes anything."""
        return bool(
            self.crop_amount or self.flip_left_right or self.flip_up_down or self.do_color_aug
        )

    def settings(self) -> "Settings":
        """The same as inputs of a program."""
        strengths = (self.brightness, self.saturation, self.hue, self.contrast)
        return Settings(
            np.int32(self.crop_amount),
            np.bool_(self.flip_left_right),
            np.bool_(self.flip_up_down),
            np.bool_(self.do_color_aug),
            *map(np.float32, strengths),
        )


class Settings(NamedTuple):
    """An `Augmentation` as inputs of a program; leaves []."""

    crop_amount: Scalar
    flip_left_right: Scalar
    flip_up_down: Scalar
    do_color_aug: Scalar
    brightness: Scalar
    saturation: Scalar
    hue: Scalar
    contrast: Scalar

    def active(self) -> jax.Array:
        """Whether anything is changed, [] bool."""
        flips = jnp.logical_or(self.flip_left_right, self.flip_up_down)
        is_cropped = jnp.asarray(self.crop_amount) > 0
        return is_cropped | flips | jnp.asarray(self.do_color_aug)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AugmentedDataset(Dataset):
    """Minibatches whose images are changed anew at each access; float32 in about [0, 1].

    Other splits than train are cropped in the middle and not changed otherwise, unless
    `everywhere`. With `crop`, images have their own, smaller size; without, they lie in the first
    rows and columns of a canvas of the old one.
    """

    examples: Dataset
    settings: Settings
    image_shape: tuple[int, int, int] = dataclasses.field(metadata={"static": True})
    everywhere: bool = dataclasses.field(default=False, metadata={"static": True})
    crop: int | None = dataclasses.field(default=None, metadata={"static": True})

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        batch = self.examples.sample(split, key, batch_size)
        keys = jax.random.split(jax.random.fold_in(key, 1), batch_size)
        if split == "train" or self.everywhere:
            change = self._change
        else:
            change = lambda _, image: self._cropped(image, self._middle())
        images = self._canvas(batch["image"])
        if self.crop is None:
            is_active = anywhere(self.settings.active())
            images = jax.lax.cond(is_active, jax.vmap(change), lambda _, x: x, keys, images)
        else:
            images = jax.vmap(change)(keys, images)
        return {**batch, "image": images.reshape(batch_size, -1)}

    def whole(self, split: Split) -> Batch:
        """All examples of `split`, cropped in the middle and not changed otherwise."""
        batch = self.examples.whole(split)
        crop = lambda image: self._cropped(image, self._middle())
        images = jax.vmap(crop)(self._canvas(batch["image"]))
        return {**batch, "image": images.reshape(images.shape[0], -1)}

    def _canvas(self, image: jax.Array) -> jax.Array:
        return image.reshape(-1, *self.image_shape).astype(jnp.float32) * (1 / 255)

    def _middle(self) -> jax.Array:
        middle = jnp.asarray(self.settings.crop_amount) // 2
        return jnp.stack([middle, middle])

    def _change(self, key: Key, image: jax.Array) -> jax.Array:
        key_crop, key_columns, key_rows, key_colors = jax.random.split(key, 4)
        corner = jax.random.randint(key_crop, (2,), 0, self.settings.crop_amount + 1)
        image = self._cropped(image, corner)
        image = self._flipped(key_columns, image, self.settings.flip_left_right, axis=1)
        image = self._flipped(key_rows, image, self.settings.flip_up_down, axis=0)
        if self.image_shape[2] != 3:
            return image
        wanted = self.settings.do_color_aug
        recolor = lambda image: jnp.where(wanted, self._recolored(key_colors, image), image)
        return jax.lax.cond(anywhere(jnp.asarray(wanted)), recolor, lambda image: image, image)

    def _cropped(self, image: jax.Array, corner: jax.Array) -> jax.Array:
        height, width, channels = self.image_shape
        if self.crop is not None:
            size = (height - self.crop, width - self.crop, channels)
            return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), size)
        # On a canvas, to crop is to shift; what lies beyond is cleared by who reads the image.
        return jnp.roll(jnp.roll(image, -corner[0], 0), -corner[1], 1)

    def _flipped(self, key: Key, image: jax.Array, wanted: Scalar, axis: int) -> jax.Array:
        """The image, mirrored along `axis` with probability one half."""
        size = self.image_shape[axis] - jnp.asarray(self.settings.crop_amount)
        position = jnp.arange(image.shape[axis])
        mirrored = jnp.where(position < size, size - 1 - position, position)
        flip = jnp.logical_and(wanted, jax.random.bernoulli(key))
        return jnp.take(image, jnp.where(flip, mirrored, position), axis=axis)

    def _recolored(self, key: Key, image: jax.Array) -> jax.Array:
        """Brightness, saturation, hue and contrast changed in this order; nothing is clipped."""
        brightness, saturation, hue, contrast = jax.random.uniform(key, (4,), minval=-1.0)
        settings = self.settings
        image = image + brightness * settings.brightness
        hsv = _to_hsv(image)
        hsv = hsv.at[..., 1].set(
            jnp.clip(hsv[..., 1] * (1.0 + saturation * settings.saturation), 0.0, 1.0)
        )
        hsv = hsv.at[..., 0].set((hsv[..., 0] + hue * settings.hue) % 1.0)
        image = _to_rgb(hsv)
        height, width = (
            size - jnp.asarray(settings.crop_amount, jnp.float32) for size in self.image_shape[:2]
        )
        mean = jnp.sum(self._inside(image), (0, 1)) / (height * width)
        mean = mean.reshape(1, 1, 3)
        return (image - mean) * (1.0 + contrast * settings.contrast) + mean

    def _inside(self, image: jax.Array) -> jax.Array:
        """The image with zeros beyond its crop."""
        if self.crop is not None:
            return image
        limits = [size - jnp.asarray(self.settings.crop_amount) for size in self.image_shape[:2]]
        rows, columns = (jnp.arange(n) < m for n, m in zip(self.image_shape, limits, strict=False))
        return jnp.where((rows[:, None] & columns[None])[..., None], image, 0.0)


def _to_hsv(rgb: jax.Array) -> jax.Array:
    """Hue in turns, saturation and value of colours [..., 3]."""
    value, least = jnp.max(rgb, -1), jnp.min(rgb, -1)
    spread = value - least
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    safe = jnp.where(spread > 0, spread, 1.0)
    hue = jnp.where(
        value == red,
        (green - blue) / safe,
        jnp.where(value == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    saturation = jnp.where(value > 0, spread / jnp.where(value > 0, value, 1.0), 0.0)
    return jnp.stack([(hue / 6.0) % 1.0, saturation, value], -1)


def _to_rgb(hsv: jax.Array) -> jax.Array:
    """The colours [..., 3] of hue in turns, saturation and value."""
    hue, saturation, value = hsv[..., 0:1], hsv[..., 1:2], hsv[..., 2:3]
    # Each channel is a ramp over the colour circle, shifted by a third of it.
    shift = jnp.asarray([0.0, 2 / 3, 1 / 3], jnp.float32).reshape((1,) * (hsv.ndim - 1) + (3,))
    ramp = jnp.clip(jnp.abs((hue + shift) % 1.0 * 6.0 - 3.0) - 1.0, 0.0, 1.0)
    return value * (1.0 - saturation + saturation * ramp)
