"""Labelled images in host memory: what every source produces, and what is known about them."""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from taskset.base import SPLITS


class LabelledImages(NamedTuple):
    """A data set for image classification, in four splits."""

    splits: Mapping[str, Mapping[str, np.ndarray]]  # image [N, H*W*C] uint8, label [N] int32
    image_shape: tuple[int, int, int]  # height, width, channels
    num_classes: int


class DataInfo(NamedTuple):
    """The facts about a data set that fix the shapes of tasks."""

    name: str
    source: str
    image_shape: tuple[int, int, int]  # height, width, channels
    num_classes: int
    num_examples: Mapping[str, int]  # by split
    fingerprint: str  # sha256 of the arrays, in hex: equal only for equal data

    @property
    def num_features(self) -> int:
        """Values per image."""
        height, width, channels = self.image_shape
        return height * width * channels


def describe(name: str, source: str, images: LabelledImages) -> DataInfo:
    """What is known about `images`."""
    return DataInfo(
        name=name,
        source=source,
        image_shape=images.image_shape,
        num_classes=images.num_classes,
        num_examples={split: len(images.splits[split]["label"]) for split in SPLITS},
        fingerprint=fingerprint(images),
    )


def fingerprint(images: LabelledImages) -> str:
    """The sha256 of all arrays, with their names, dtypes and shapes, in hex."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for name, array in sorted(images.splits[split].items()):
            digest.update(f"{split}/{name} {array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
