"""TaskSet's image data sets from TFDS's own builders, without TensorFlow, from fixture files."""

import csv
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from taskset.base import SPLITS
from taskset.data import sources, stand_ins, tfds
from taskset.data.image_data import ImageData
from taskset.data.recipes import RECIPES

NUM = 24  # images of a training split; a held-out one takes a twelfth


def photo(index, width, height):
    """A smooth image that says which one it is: its mean brightness grows with the index."""
    base = 60 + 5 * index
    ramp = np.linspace(-20, 20, width)[None, :, None] + np.zeros((height, 1, 3))
    return Image.fromarray(np.rint(base + ramp).astype(np.uint8))


def save(folder, name, index, width=40, height=40):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    photo(index, width, height).save(path)


def coil100(folder):
    for index in range(NUM):
        save(folder, f"coil-100/obj{index + 1}__{5 * index}.png", index, 128, 128)
    return folder, {}


def deep_weeds(folder):
    for index in range(NUM):
        save(folder, f"images/{index}.jpg", index, 256, 256)
    with (folder / "labels.csv").open("w") as file:
        rows = [(f"{i}.jpg", i % 9, f"species {i % 9}") for i in range(NUM)]
        csv.writer(file).writerows([("Filename", "Label", "Species"), *rows])
    return {"image": folder / "images", "label": folder / "labels.csv"}, {}


def colorectal_histology(folder):
    names = ("TUMOR", "STROMA", "COMPLEX", "LYMPHO", "DEBRIS", "MUCOSA", "ADIPOSE", "EMPTY")
    for index in range(NUM):
        place = f"{index % 8 + 1:02d}_{names[index % 8]}"
        save(folder, f"Kather_texture_2016_image_tiles_5000/{place}/{index}.tif", index, 150, 150)
    return folder, {}


def food101(folder):
    from tensorflow_datasets.core.utils import resource_utils

    classes = resource_utils.tfds_path("image_classification/food-101_classes.txt")
    labels = classes.read_text().split()
    for file, start in (("train", 0), ("test", NUM)):
        found = {labels[i]: [f"{labels[i]}/{i}"] for i in range(start, start + NUM)}
        (folder / "food-101/meta").mkdir(parents=True, exist_ok=True)
        (folder / f"food-101/meta/{file}.json").write_text(json.dumps(found))
        for i in range(start, start + NUM):
            save(folder, f"food-101/images/{labels[i]}/{i}.jpg", i - start, 60 + i, 50)
    return folder, {}


def sun397(folder):
    from tensorflow_datasets.core.utils import resource_utils

    with tarfile.open(folder / "SUN397.tar.gz", "w:gz") as archive:
        for part in ("tr", "va", "te"):
            listed = resource_utils.tfds_path(f"image_classification/sun397_tfds_{part}.txt")
            for index, name in enumerate(listed.read_text().split()[:NUM]):
                buffer = io.BytesIO()
                # The real files are all called .jpg and are not.
                format = ("JPEG", "PNG", "GIF", "BMP")[index % 4]
                photo(index, 500, 400).save(buffer, format)
                entry = tarfile.TarInfo(f"SUN397{name}")
                entry.size = buffer.tell()
                buffer.seek(0)
                archive.addfile(entry, buffer)
    return {"images": folder / "SUN397.tar.gz", "partitions": folder}, {}


def imagenet_resized(folder):
    paths = []
    for part in ("train", "val"):
        buffer = io.BytesIO()
        images = [np.asarray(photo(i, 16, 16)).transpose(2, 0, 1).ravel() for i in range(NUM)]
        np.savez(buffer, data=np.stack(images), labels=1 + np.arange(NUM))
        paths.append(folder / f"{part}.zip")
        with zipfile.ZipFile(paths[-1], "w") as archive:
            archive.writestr(f"{part}.npz", buffer.getvalue())
    return None, paths


CASES = {
    "coil100_32x32": (coil100, 72, (18, 2, 2, 2)),
    "deep_weeds_32x32": (deep_weeds, 9, (18, 2, 2, 2)),
    "colorectal_histology_32x32": (colorectal_histology, 8, (18, 2, 2, 2)),
    "food101_32x32": (food101, 101, (20, 2, 2, 24)),
    "food101_64x64": (food101, 101, (20, 2, 2, 24)),
    "sun397_32x32": (sun397, 397, (22, 2, 24, 24)),
    "imagenet_resized/16x16": (imagenet_resized, 1000, (20, 2, 2, 24)),
}


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Makes TFDS find a fixture's files in place of what it would download."""
    from tensorflow_datasets.core.download import download_manager

    def serve(make):
        folder = tmp_path / "files"
        folder.mkdir()
        extracted, downloaded = make(folder)
        manager = download_manager.DownloadManager
        monkeypatch.setattr(manager, "download_and_extract", lambda self, urls: extracted)
        monkeypatch.setattr(manager, "download", lambda self, urls: downloaded)

    monkeypatch.setattr(tfds, "_resolves", lambda host: True)
    return serve


@pytest.mark.parametrize("name", CASES)
def test_tfds_builders_prepare_what_taskset_calls_by_this_name(data_dir, served, name):
    make, num_classes, sizes = CASES[name]
    served(make)
    info = sources.prepare(name, "tfds", download=True)
    size = int(name.rpartition("x")[2])
    assert (info.image_shape, info.num_classes) == ((size, size, 3), num_classes)
    assert tuple(info.num_examples[split] for split in SPLITS) == sizes

    # Every image is there once, whole and with its own label.
    splits = sources.read(name, "tfds")
    train = [splits[s] for s in SPLITS[: 1 + (NUM - sizes[0]) // 2]]
    images = np.concatenate([examples["image"] for examples in train])
    brightness = np.rint((images.mean(axis=1) - 60) / 5).astype(int)
    assert sorted(brightness) == list(range(NUM))
    rows = images.reshape(NUM, size, size, 3).astype(float)
    assert ((rows[:, :, -1] - rows[:, :, 0]) > 30).all()  # the ramp goes over the whole width
    labels = np.concatenate([examples["label"] for examples in train])
    expected = {"deep_weeds": brightness % 9, "colorectal_histology": brightness % 8}
    if RECIPES[name].builder != "sun397/tfds":
        np.testing.assert_array_equal(labels, expected.get(RECIPES[name].builder, brightness))


@pytest.mark.parametrize(
    ("name", "sizes", "expected"),
    [
        ("cifar10", {"train": 50_000, "test": 10_000}, (40_000, 5000, 5000, 10_000)),
        ("mnist", {"train": 60_000, "test": 10_000}, (50_000, 5000, 5000, 10_000)),
        ("food101_32x32", {"train": 75_750, "validation": 25_250}, (65_750, 5000, 5000, 25_250)),
        ("coil100_32x32", {"train": 7200}, (4800, 800, 800, 800)),
        ("deep_weeds_32x32", {"train": 17_509}, (11_509, 2000, 2000, 2000)),
        ("colorectal_histology_32x32", {"train": 5000}, (2900, 700, 700, 700)),
        (
            "sun397_32x32",
            {"train": 76_128, "validation": 10_875, "test": 21_750},
            (71_128, 5000, 10_875, 21_750),
        ),
    ],
)
def test_real_sizes_give_the_splits_of_the_sampled_families(name, sizes, expected):
    slices = tfds.four_splits(sizes, RECIPES[name].held_out)

    def length(expression):
        split, _, bounds = expression.rstrip("]").partition("[")
        start, _, end = bounds.partition(":")
        return int(end or sizes[split]) - int(start or 0)

    assert tuple(length(slices[split]) for split in SPLITS) == expected


def test_every_name_of_taskset_exists_in_both_sources():
    assert set(stand_ins.STAND_INS) == set(RECIPES)
    for name in RECIPES:
        assert name in sources.names("tfds", "image")
        assert ImageData(name, "embedded").stored_name in sources.names("embedded", "image")
        assert ImageData(name, "tfds").stored_name == name


def test_a_resized_image_is_whole_and_of_three_channels():
    wide = np.zeros((20, 60, 1), np.uint8)
    wide[:, 30:] = 255
    got = tfds.resized(wide, 8)
    assert (got.shape, got.dtype) == ((8, 8, 3), np.uint8)
    assert (got[:, 0] == 0).all() and (got[:, -1] == 255).all()
