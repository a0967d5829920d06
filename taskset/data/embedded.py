"""Real images that come with scikit-learn: learnable, not trivial, and never downloaded.

    digits           8x8x1, 10 classes: the UCI optical digits (CC BY 4.0)
    patches_8x8      8x8x3, 8 classes: which of two photographs, and which quadrant of it,
    patches_16x16    16x16x3           a patch was cut from (china.jpg, flower.jpg: CC BY 2.0)
    patches_32x32    32x32x3

scikit-learn is imported when a data set is built, once per machine, and not before: the import
alone takes longer than everything else here.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

import numpy as np

from taskset.base import SPLITS, Split
from taskset.data.images import LabelledImages

Group = TypeVar("Group")
Block: TypeAlias = tuple[int, int]  # row and column, in blocks

BLOCK = 64  # pixels; a block of a photograph belongs to one split, so no patch straddles two
STRIDE = 8  # pixels between the corners of neighbouring patches


def digits() -> LabelledImages:
    """The optical digits, split at random within each class: about 70/10/10/10 per cent."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = np.rint(images * (255 / 16)).astype(np.uint8)
    split_of: dict[int, Split] = {}
    for label in range(10):
        members = np.flatnonzero(labels == label).tolist()
        split_of |= split_groups(members, "digits")
    index = {split: [i for i in sorted(split_of) if split_of[i] == split] for split in SPLITS}
    return labelled({s: (images[i], labels[i]) for s, i in index.items()}, (8, 8, 1), 10)


def patches(size: int) -> LabelledImages:
    """Square patches of two photographs; the class is photograph x quadrant.

    Split by blocks of 64 x 64 pixels within each quadrant, so that held-out patches show places
    that no training patch shows.
    """
    from sklearn.datasets import load_sample_image

    images: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    labels: dict[str, list[int]] = {split: [] for split in SPLITS}
    for photo_index, photo in enumerate(("china", "flower")):
        pixels = load_sample_image(f"{photo}.jpg")
        for quadrant, blocks in enumerate(_quadrants(pixels)):
            for block, split in split_groups(blocks, photo).items():
                found = patches_in(cut(pixels, block, BLOCK), size, STRIDE)
                images[split] += found
                labels[split] += [4 * photo_index + quadrant] * len(found)
    arrays = {s: (np.stack(images[s]), np.asarray(labels[s])) for s in SPLITS}
    return labelled(arrays, (size, size, 3), 8)


BUILDERS: dict[str, Callable[[], LabelledImages]] = {
    "digits": digits,
    "patches_8x8": functools.partial(patches, 8),
    "patches_16x16": functools.partial(patches, 16),
    "patches_32x32": functools.partial(patches, 32),
}


def split_groups(groups: Iterable[Group], salt: str) -> dict[Group, Split]:
    """A split for each group: a tenth for each held-out split, at least one, the rest for train.

    Groups are ranked by a hash: the same on every machine, whatever their order.
    """
    ranked = sorted(groups, key=lambda g: hashlib.sha256(f"{salt}/{g}".encode()).digest())
    tenth = max(1, round(len(ranked) / 10))
    splits: dict[Group, Split] = dict.fromkeys(ranked, "train")
    for position, split in enumerate(SPLITS[1:]):
        splits |= dict.fromkeys(ranked[position * tenth : (position + 1) * tenth], split)
    return splits


def _quadrants(pixels: np.ndarray) -> list[list[Block]]:
    """The blocks in each quarter of a photograph, [height, width, 3]."""
    rows, columns = pixels.shape[0] // BLOCK, pixels.shape[1] // BLOCK
    quadrants: list[list[Block]] = [[], [], [], []]
    for row, column in np.ndindex(rows, columns):
        quadrants[2 * (2 * row >= rows) + (2 * column >= columns)].append((row, column))
    return quadrants


def cut(pixels: np.ndarray, block: Block, size: int) -> np.ndarray:
    """The pixels of one of the blocks of `size` pixels into which a photograph is divided."""
    row, column = block
    return pixels[row * size : (row + 1) * size, column * size : (column + 1) * size]


def patches_in(pixels: np.ndarray, size: int, stride: int) -> list[np.ndarray]:
    """The square patches of a square, [size, size, 3] each, whose corners are `stride` apart."""
    offsets = range(0, len(pixels) - size + 1, stride)
    return [pixels[y : y + size, x : x + size] for y in offsets for x in offsets]


def labelled(
    arrays: dict[str, tuple[np.ndarray, np.ndarray]],
    image_shape: tuple[int, int, int],
    num_classes: int,
) -> LabelledImages:
    """A data set of images [N, height, width(, channels)] uint8 and labels [N], by split."""
    splits = {
        split: {"image": images.reshape(len(images), -1), "label": labels.astype(np.int32)}
        for split, (images, labels) in arrays.items()
    }
    return LabelledImages(splits, image_shape, num_classes)
