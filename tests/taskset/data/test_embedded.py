"""The embedded data sets: whole, split without overlap, and always the same."""

import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data import embedded
from taskset.data.prepared import fingerprint

SIZES = {
    "digits": (1260, 179, 179, 179),
    "patches_8x8": (4608, 1024, 1024, 1024),
    "patches_16x16": (3528, 784, 784, 784),
    "patches_32x32": (1800, 400, 400, 400),
}


@pytest.fixture(scope="module", params=SIZES)
def named(request):
    return request.param, embedded.BUILDERS[request.param]()


def sorted_rows(*columns):
    table = np.concatenate([np.asarray(c, np.int64).reshape(len(c), -1) for c in columns], axis=1)
    return table[np.lexsort(table.T)]


def all_rows(images):
    return sorted_rows(
        *(np.concatenate([images.splits[s][k] for s in SPLITS]) for k in ("image", "label"))
    )


def test_sizes_shapes_and_types(named):
    name, images = named
    assert tuple(len(images.splits[s]["label"]) for s in SPLITS) == SIZES[name]
    for split in SPLITS:
        image, label = images.splits[split]["image"], images.splits[split]["label"]
        assert image.dtype == np.uint8
        assert image.shape == (len(label), np.prod(images.image_shape))
        assert label.dtype == np.int32
        assert set(label) == set(range(images.num_classes))  # each class is in each split


def test_digits_are_all_there_once_and_span_the_whole_range():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images = embedded.digits()
    np.testing.assert_array_equal(all_rows(images), sorted_rows(np.rint(pixels * 255 / 16), labels))
    assert images.splits["train"]["image"].max() == 255


def test_digits_have_the_known_fingerprint():
    assert fingerprint(embedded.digits().splits).startswith("92f59edfe5844add")


def test_patches_of_8_pixels_tile_the_photographs_so_splits_do_not_overlap():
    from sklearn.datasets import load_sample_image

    tiles, labels = [], []
    for photo, name in enumerate(("china", "flower")):
        pixels = load_sample_image(f"{name}.jpg")
        for y in range(0, 384, 8):
            for x in range(0, 640, 8):
                tiles.append(pixels[y : y + 8, x : x + 8])
                labels.append(4 * photo + 2 * (y >= 192) + (x >= 320))
    np.testing.assert_array_equal(all_rows(embedded.patches(8)), sorted_rows(tiles, labels))


def test_groups_are_split_by_name_alone_and_each_held_out_split_gets_a_tenth():
    groups = list(range(50))
    splits = embedded.split_groups(groups, "salt")
    assert splits == embedded.split_groups(reversed(groups), "salt")
    assert splits != embedded.split_groups(groups, "other salt")
    counts = {split: list(splits.values()).count(split) for split in SPLITS}
    assert counts == {"train": 35, "inner_valid": 5, "outer_valid": 5, "test": 5}
    assert sorted(embedded.split_groups(range(4), "salt").values()) == sorted(SPLITS)
