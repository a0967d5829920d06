"""The images of a configuration: data set, augmentation, batch, and the bucket they belong to."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from taskset.base import Dataset
from taskset.data.augmentation import Augmentation, AugmentedDataset
from taskset.data.image_data import ImageData
from taskset.networks.dims import Dim
from taskset.networks.images import ImageInput
from taskset.options import Options

BATCH_SIZES = (64, 256, 512)  # of buckets
CLASSES = (128, 1024)


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """The data of a task on images, as `DataSpec` wants it, and what it fixes of the task."""

    data: ImageData
    augmentation: Augmentation
    options: Options
    batch_size: int  # examples in a minibatch

    def load(self) -> Dataset:
        """Images [batch, features] and labels [batch], augmented when the configuration says so."""
        images = self.data.load(padded=self.options.padded)
        if not (self.augmentation.active or self.options.padded):
            return images
        return AugmentedDataset(
            images,
            self.augmentation.settings(),
            self.data.info().image_shape,
            everywhere=self.options.released,
            crop=None if self.options.padded else self.augmentation.crop_amount,
        )

    @property
    def classes(self) -> Dim:
        """The classes of the data set."""
        return self.options.dim(self.data.info().num_classes, CLASSES)

    @property
    def batch(self) -> Dim:
        """The examples of a minibatch."""
        return self.options.dim(self.batch_size, BATCH_SIZES)


def image_spec(dataset: Sequence[Any], options: Options) -> ImageSpec:
    """The images of a configuration's `[name, settings, augmentation or None]`."""
    name, settings, augmentation = dataset
    return ImageSpec(
        ImageData(name, options.source, settings.get("num_train")),
        Augmentation(**(augmentation or {})),
        options,
        settings["bs"],
    )


def image_input(spec: ImageSpec, *, center: bool, options: Options) -> ImageInput:
    """How networks read the images of `spec`: in [0, 1], or with `center` in [-1, 1]."""
    canvas_height, canvas_width, channels = spec.data.info().image_shape
    height, width = (size - spec.augmentation.crop_amount for size in (canvas_height, canvas_width))
    scale, offset = (2.0, -1.0) if center else (1.0, 0.0)
    if not options.padded:
        shape = (height, width, channels)
        return ImageInput(shape, Dim(height), Dim(width), np.float32(scale), np.float32(offset))
    return ImageInput(
        (canvas_height, canvas_width, channels),
        Dim(canvas_height, np.int32(height)),
        Dim(canvas_width, np.int32(width)),
        np.float32(scale),
        np.float32(offset),
    )
