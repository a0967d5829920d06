"""Labelled images in host memory, and what is known about them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from taskset.base import SPLITS
from taskset.data.prepared import Arrays, fingerprint


class DataInfo(NamedTuple):
    """The facts about a set of labelled images that fix the shapes of tasks."""

    name: str
    source: str
    image_shape: tuple[int, int, int]  # height, width, channels
    num_classes: int
    num_examples: Mapping[str, int]  # by split
    fingerprint: str  # sha256 of the arrays, in hex: equal only for equal data
    kind: str = "image"

    @property
    def num_features(self) -> int:
        """Values per image."""
        height, width, channels = self.image_shape
        return height * width * channels

    def summary(self) -> dict[str, Any]:
        """The facts that a table shows."""
        return {"shape": "x".join(map(str, self.image_shape)), "classes": self.num_classes}


class LabelledImages(NamedTuple):
    """A data set for image classification, in four splits."""

    splits: Arrays  # image [N, H*W*C] uint8, label [N] int32
    image_shape: tuple[int, int, int]  # height, width, channels
    num_classes: int

    def describe(self, name: str, source: str) -> DataInfo:
        """What is known about the images."""
        return DataInfo(
            name=name,
            source=source,
            image_shape=self.image_shape,
            num_classes=self.num_classes,
            num_examples={split: len(self.splits[split]["label"]) for split in SPLITS},
            fingerprint=fingerprint(self.splits),
        )
