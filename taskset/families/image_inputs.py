"""The images of a configuration: data set, augmentation, batch, and the bucket they belong to."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Dataset, Key, Split
from taskset.data.arrays import ArrayDataset
from taskset.data.augmentation import Augmentation, AugmentedDataset
from taskset.data.image_data import ImageData
from taskset.networks.dims import Dim, Scalar
from taskset.networks.images import ImageInput
from taskset.options import Options

BATCH_SIZES = (32, 128, 256, 512)  # of buckets: at most four times too many, twice in the mean
CLASSES = (128, 1024)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainEverywhere(Dataset):
    """Examples whose held-out splits are the train split, where `wanted`: an input of programs."""

    examples: Dataset
    wanted: Scalar  # [] bool

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        batch = self.examples.sample(split, key, batch_size)
        if split == "train":
            return batch
        train = self.examples.sample("train", key, batch_size)
        return jax.tree.map(lambda x, y: jnp.where(self.wanted, x, y), train, batch)

    def whole(self, split: Split) -> Batch:
        """Those of `split` itself: in a bucket, which one is wanted is not known."""
        return self.examples.whole(split)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainOnly(Dataset):
    """Examples whose held-out splits are the train split."""

    examples: Dataset

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        del split
        return self.examples.sample("train", key, batch_size)

    def whole(self, split: Split) -> Batch:
        del split
        return self.examples.whole("train")


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """The data of a task on images, as `DataSpec` wants it, and what it fixes of the task."""

    data: ImageData
    augmentation: Augmentation
    options: Options
    batch_size: int  # examples in a minibatch
    just_train: bool = False  # whether all splits are the train split

    def load(self) -> Dataset:
        """Images [batch, features] and labels [batch], augmented when the configuration says so."""
        return self._prepared(self.data.load(padded=self.options.padded))

    @property
    def num_shards(self) -> int:
        """Parts that keep to the budget of the device."""
        return self.data.num_shards

    def load_shard(self, index: int) -> Dataset:
        """Part `index` modulo `num_shards`, as `load` gives it."""
        return self._prepared(self.data.shards().shard(index))

    def _prepared(self, images: ArrayDataset) -> Dataset:
        padded = self.options.padded
        prepared: Dataset = images
        if self.augmentation.active or padded:
            prepared = AugmentedDataset(
                images,
                self.augmentation.settings(),
                self.data.info().image_shape,
                everywhere=self.options.released,
                crop=None if padded else self.augmentation.crop_amount,
            )
        wanted = self.just_train and not self.options.released
        if not padded:
            return TrainOnly(prepared) if wanted else prepared
        return TrainEverywhere(prepared, jnp.asarray(wanted))

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
        settings.get("just_train", False),
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
