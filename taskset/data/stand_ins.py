"""Embedded data in place of TaskSet's image data sets: real pixels, same shapes, same classes.

    digits_28x28       grey,   10 classes: the UCI optical digits, enlarged, in four places
    letters_28x28      grey,   10 classes: A to J of both cases; held-out fonts are unseen
    regions_32x32_N    colour, N classes: which part of two photographs a patch was cut from
    characters_*_N     colour, N classes: a character on a piece of photograph; held-out pieces
                       are unseen

They stand in for the data sets in `STAND_INS`, under names of their own, so that nobody mistakes
one for the other. Examples are stored in random order: the first n are a fair sample.
"""

import functools
import itertools
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
from PIL import Image

from taskset.base import SPLITS, Split
from taskset.data import glyphs
from taskset.data.embedded import Block, cut, digits, labelled, patches_in, split_groups
from taskset.data.images import LabelledImages

Pieces: TypeAlias = Mapping[Split, list[np.ndarray]]

# Enlarged digits leave a margin, in which they move.
DIGIT_SIZE = 24
DIGIT_PLACES = ((0, 0), (0, 4), (4, 0), (4, 4))

LETTERS = "ABCDEFGHIJ"
LETTER_VARIANTS = 24  # of a letter of one case in one font

REGION_BLOCK = 40  # pixels; a block belongs to one split
REGION_STRIDE = 2

PIECE = 64  # pixels of a piece of photograph on which characters are put

HELD_OUT = 1024  # examples in a held-out split, at most; train has at most eight times as many
HELD_OUT_LARGE = 404  # when images are larger than 32 x 32


def digits_28x28() -> LabelledImages:
    """The optical digits at three times their size, four times each; split as `digits` are."""
    small = digits()
    splits = {}
    for split in SPLITS:
        large = [_enlarged(row.reshape(8, 8)) for row in small.splits[split]["image"]]
        images = [np.pad(x, ((y, 4 - y), (z, 4 - z))) for x in large for y, z in DIGIT_PLACES]
        splits[split] = np.stack(images), np.repeat(small.splits[split]["label"], len(DIGIT_PLACES))
    return _shuffled(labelled(splits, (28, 28, 1), 10))


def letters_28x28() -> LabelledImages:
    """Letters of both cases, turned, scaled and moved a little; fonts are split, not letters."""
    rng = _random("letters_28x28")
    images: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    labels: dict[str, list[int]] = {split: [] for split in SPLITS}
    for font, split in split_groups(glyphs.ALPHABETIC, "letters").items():
        for letter in LETTERS + LETTERS.lower():
            drawing = glyphs.draw(letter, font).resize((56, 56))
            images[split] += [_placed(drawing, 28, rng) for _ in range(LETTER_VARIANTS)]
            labels[split] += [LETTERS.index(letter.upper())] * LETTER_VARIANTS
    arrays = {s: (np.stack(images[s]), np.asarray(labels[s])) for s in SPLITS}
    return _shuffled(labelled(arrays, (28, 28, 1), len(LETTERS)))


def regions(num_classes: int) -> LabelledImages:
    """Patches of 32 pixels; the class is a vertical strip of one of two photographs.

    Split by blocks of 40 x 40 pixels within each strip, so that no held-out patch shares a pixel
    with a training patch.
    """
    images: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    labels: dict[str, list[int]] = {split: [] for split in SPLITS}
    for label, (pixels, blocks) in enumerate(_strips(num_classes)):
        for block, split in split_groups(blocks, f"regions/{label}").items():
            found = patches_in(cut(pixels, block, REGION_BLOCK), 32, REGION_STRIDE)
            images[split] += found
            labels[split] += [label] * len(found)
    arrays = {s: (np.stack(images[s]), np.asarray(labels[s])) for s in SPLITS}
    return _shuffled(labelled(arrays, (32, 32, 3), num_classes))


def characters(size: int, num_classes: int) -> LabelledImages:
    """Coloured characters on pieces of photographs, as many of each class."""
    rng = _random(f"characters_{size}x{size}_{num_classes}")
    held_out = (HELD_OUT if size <= 32 else HELD_OUT_LARGE) // num_classes  # of each class
    drawings = _drawings(glyphs.distinct(num_classes), 2 * size)
    arrays = {}
    for split, blocks in _pieces().items():
        labels = np.repeat(np.arange(num_classes), held_out * (8 if split == "train" else 1))
        images = [
            _painted(
                _placed(drawings[label][rng.randint(len(glyphs.DEJAVU))], size, rng),
                _cropped(blocks[rng.randint(len(blocks))], size, rng),
                rng,
            )
            for label in labels
        ]
        arrays[split] = np.stack(images), labels
    return _shuffled(labelled(arrays, (size, size, 3), num_classes))


BUILDERS: dict[str, Callable[[], LabelledImages]] = {
    "digits_28x28": digits_28x28,
    "letters_28x28": letters_28x28,
    **{f"regions_32x32_{n}": functools.partial(regions, n) for n in (8, 9, 10)},
    **{
        f"characters_{size}x{size}_{n}": functools.partial(characters, size, n)
        for size, n in (
            (32, 72),
            (32, 100),
            (32, 101),
            (64, 101),
            (32, 397),
            (16, 1000),
            (32, 1000),
        )
    },
}

# TaskSet's name -> the embedded data set that tasks of source "embedded" use.
STAND_INS = {
    "mnist": "digits_28x28",
    "fashion_mnist": "letters_28x28",
    "cifar10": "regions_32x32_10",
    "cifar100": "characters_32x32_100",
    "coil100_32x32": "characters_32x32_72",
    "colorectal_histology_32x32": "regions_32x32_8",
    "deep_weeds_32x32": "regions_32x32_9",
    "food101_32x32": "characters_32x32_101",
    "food101_64x64": "characters_64x64_101",
    "imagenet_resized/16x16": "characters_16x16_1000",
    "imagenet_resized/32x32": "characters_32x32_1000",
    "sun397_32x32": "characters_32x32_397",
}


def _enlarged(digit: np.ndarray) -> np.ndarray:
    size = (DIGIT_SIZE, DIGIT_SIZE)
    return np.asarray(Image.fromarray(digit).resize(size, Image.Resampling.BICUBIC))


def _placed(drawing: Image.Image, size: int, rng: np.random.RandomState) -> np.ndarray:
    x, y = rng.uniform(-0.1, 0.1, 2).tolist()
    return glyphs.placed(drawing, size, rng.uniform(-15, 15), rng.uniform(0.7, 1.0), (x, y))


def _photographs() -> list[np.ndarray]:
    from sklearn.datasets import load_sample_image

    return [load_sample_image(f"{name}.jpg") for name in ("china", "flower")]


def _blocks(pixels: np.ndarray, size: int) -> list[Block]:
    """The places of the whole blocks of a photograph, column by column."""
    rows, columns = pixels.shape[0] // size, pixels.shape[1] // size
    return [(row, column) for column in range(columns) for row in range(rows)]


def _strips(num: int) -> Iterator[tuple[np.ndarray, list[Block]]]:
    """Vertical strips: half of `num` from each photograph; its pixels and the strip's blocks."""
    for pixels, share in zip(_photographs(), (num // 2, num - num // 2), strict=True):
        blocks = _blocks(pixels, REGION_BLOCK)
        bounds = [index * len(blocks) // share for index in range(share + 1)]
        for start, end in itertools.pairwise(bounds):
            yield pixels, blocks[start:end]


def _pieces() -> Pieces:
    """The blocks of both photographs, [PIECE, PIECE, 3], by split."""
    pieces: dict[Split, list[np.ndarray]] = {split: [] for split in SPLITS}
    for index, pixels in enumerate(_photographs()):
        for block, split in split_groups(_blocks(pixels, PIECE), f"characters/{index}").items():
            pieces[split].append(cut(pixels, block, PIECE))
    return pieces


def _drawings(characters: tuple[str, ...], size: int) -> list[list[Image.Image]]:
    """For each character its drawings in the DejaVu styles, at `size` pixels."""
    return [
        [glyphs.draw(c, font).resize((size, size)) for font in glyphs.DEJAVU] for c in characters
    ]


def _cropped(block: np.ndarray, size: int, rng: np.random.RandomState) -> np.ndarray:
    y, x = rng.randint(PIECE - size + 1, size=2)
    return block[y : y + size, x : x + size]


def _painted(ink: np.ndarray, background: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """`background` with `ink` in a random colour: dark where it is light, light where dark."""
    colour = rng.randint(0, 96, 3) + (0 if background.mean() > 127.5 else 160)
    alpha = ink.astype(np.int32)[..., None]
    mixed = alpha * colour + (255 - alpha) * background.astype(np.int32)
    return ((mixed + 127) // 255).astype(np.uint8)


def _random(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))


def _shuffled(images: LabelledImages) -> LabelledImages:
    """The examples in a random order, at most `HELD_OUT` of them in a held-out split."""
    splits = {}
    for split, arrays in images.splits.items():
        order = _random(f"order of {split}").permutation(len(arrays["label"]))
        order = order if split == "train" else order[:HELD_OUT]
        splits[split] = {name: array[order] for name, array in arrays.items()}
    return images._replace(splits=splits)
