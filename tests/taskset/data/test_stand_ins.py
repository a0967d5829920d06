"""The stand-ins: TaskSet's shapes and classes, always the same, learnable and not trivial."""

import functools

import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data import glyphs, stand_ins
from taskset.data.embedded import cut, patches_in
from taskset.data.prepared import fingerprint

SHAPES = {
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "coil100_32x32": ((32, 32, 3), 72),
    "colorectal_histology_32x32": ((32, 32, 3), 8),
    "deep_weeds_32x32": ((32, 32, 3), 9),
    "food101_32x32": ((32, 32, 3), 101),
    "food101_64x64": ((64, 64, 3), 101),
    "imagenet_resized/16x16": ((16, 16, 3), 1000),
    "imagenet_resized/32x32": ((32, 32, 3), 1000),
    "sun397_32x32": ((32, 32, 3), 397),
}
SLOW = {"coil100_32x32", "cifar100", "food101_64x64", "imagenet_resized/32x32", "sun397_32x32"}
# 3-nearest-neighbour accuracy on the test split lies between these; the first is far above chance.
LEARNABLE = {
    "digits_28x28": (0.9, 1.0),
    "letters_28x28": (0.6, 0.98),
    "regions_32x32_10": (0.2, 0.8),
    "characters_32x32_101": (0.05, 0.8),
}

build = functools.cache(lambda name: stand_ins.BUILDERS[name]())


def test_the_names_are_those_of_taskset():
    assert set(stand_ins.STAND_INS) == set(SHAPES)
    assert set(stand_ins.STAND_INS.values()) == set(stand_ins.BUILDERS)


# The others are made as these are.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SHAPES],
)
def test_shapes_classes_and_sizes(name):
    images = build(stand_ins.STAND_INS[name])
    assert (images.image_shape, images.num_classes) == SHAPES[name]
    for split in SPLITS:
        image, label = images.splits[split]["image"], images.splits[split]["label"]
        assert (image.dtype, label.dtype) == (np.uint8, np.int32)
        assert image.shape == (len(label), np.prod(images.image_shape))
        assert set(label) == set(range(images.num_classes))  # each class is in each split
        assert len(label) <= (8192 if split == "train" else 1024)  # what padding makes of it
        assert image.min() < 50 and image.max() > 200


@pytest.mark.parametrize("name", ["digits_28x28", "letters_28x28", "regions_32x32_9"])
def test_built_again_it_is_the_same(name):
    assert fingerprint(stand_ins.BUILDERS[name]().splits) == fingerprint(build(name).splits)


def test_characters_built_again_are_the_same():
    first, second = (stand_ins.characters(16, 72) for _ in range(2))
    assert fingerprint(first.splits) == fingerprint(second.splits)


@pytest.mark.parametrize("name", LEARNABLE)
def test_learnable_and_not_trivial(name):
    from sklearn.neighbors import KNeighborsClassifier

    images = build(name)
    pixels = {s: images.splits[s]["image"].astype(np.float32) for s in ("train", "test")}
    classifier = KNeighborsClassifier(3).fit(pixels["train"], images.splits["train"]["label"])
    accuracy = classifier.score(pixels["test"], images.splits["test"]["label"])
    low, high = LEARNABLE[name]
    assert low < accuracy < high


@pytest.mark.parametrize("name", ["digits_28x28", "letters_28x28", "characters_32x32_101"])
def test_no_image_is_in_two_splits(name):
    images = build(name)
    rows = [{row.tobytes() for row in images.splits[s]["image"]} for s in SPLITS]
    assert sum(map(len, rows)) == len(set.union(*rows))


def test_regions_cut_from_disjoint_blocks():
    photographs = stand_ins._photographs()
    blocks = {}  # of the photographs, by the bytes of their patches
    for photo, pixels in enumerate(photographs):
        for block in stand_ins._blocks(pixels, stand_ins.REGION_BLOCK):
            for patch in patches_in(cut(pixels, block, stand_ins.REGION_BLOCK), 32, 2):
                blocks.setdefault(patch.tobytes(), set()).add((photo, block))
    images = build("regions_32x32_10")
    seen = {}
    for split in SPLITS:
        found = [blocks[row.tobytes()] for row in images.splits[split]["image"]]
        # a patch of plain sky may be in several blocks; one of them is in this split
        seen[split] = {next(iter(places)) for places in found if len(places) == 1}
    assert sum(map(len, seen.values())) == len(set.union(*seen.values())) > 200


def test_distinct_characters_differ_and_fewer_begin_more():
    few, more = glyphs.distinct(50), glyphs.distinct(300)
    assert more[:50] == few
    small = [glyphs.draw(c, "DejaVuSans").resize((16, 16)).tobytes() for c in more]
    assert len(set(small)) == 300


def test_a_drawing_is_turned_scaled_and_moved():
    drawing = glyphs.draw("l", "DejaVuSans")
    upright = glyphs.placed(drawing, 48, 0.0, 1.0, (0.0, 0.0)).astype(float)
    lying = glyphs.placed(drawing, 48, 90.0, 1.0, (0.0, 0.0)).astype(float)
    moved = glyphs.placed(drawing, 48, 0.0, 1.0, (0.25, 0.0)).astype(float)
    small = glyphs.placed(drawing, 48, 0.0, 0.5, (0.0, 0.0)).astype(float)
    turned = np.rot90(upright)  # counter-clockwise
    assert np.abs(turned - lying).mean() < 0.05 * upright.mean()
    np.testing.assert_allclose(moved[:, 12:], upright[:, :-12], atol=1)
    np.testing.assert_allclose(small.sum() * 4, upright.sum(), rtol=0.1)
