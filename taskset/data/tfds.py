"""Image classification data sets of tensorflow-datasets, without TensorFlow.

TFDS fetches and parses; its files are read once, and what is trained on are arrays, as for every
source. The package is imported only when a data set is prepared.
"""

import contextlib
import functools
import os
import pathlib
import re
import socket
import sys
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from taskset.base import SPLITS
from taskset.data import store, without_tensorflow
from taskset.data.images import LabelledImages
from taskset.data.recipes import RECIPES, Recipe, recipe
from taskset.errors import InputError, unknown_name

# Those of TaskSet, and two that need no extra packages. Any other image classification builder
# whose images have one size works too.
SUGGESTED = (*RECIPES, "kmnist", "svhn_cropped")

READ_CHUNK = 1024  # examples
READ_CHUNK_RESIZED = 32  # they are large before
IN_MEMORY = 2**30  # bytes of images that are built in memory; more are built on disk
PROBE_SECONDS = 5.0


def builder(name: str, download: bool) -> Callable[[], LabelledImages]:
    """What builds the data set `name`, e.g. "mnist" or "emnist/letters", from TFDS's own files.

    A name of `RECIPES` is made as that says; any other is a builder of TFDS, used as it is.

    It prepares those first when they are missing, which needs `download`. Raises `InputError`, and
    leaves nothing on disk, when they are missing otherwise, or when there is no such data set. The
    result raises it when the download fails, or tasks cannot use what comes.
    """
    _check_name(recipe(name).builder)
    if not download and not is_prepared(recipe(name).builder):
        raise not_prepared(name)
    return functools.partial(_build, name, download)


def four_splits(sizes: dict[str, int], held_out: int | None = None) -> dict[str, str]:
    """TFDS slices for our splits, from the number of examples in each of the builder's own.

    Four splits of these names are used as they are. Otherwise the rule of TaskSet
    (https://arxiv.org/abs/2002.11887): a missing held-out split is cut off the front of train,
    `held_out` examples each; min(5000, a twelfth of train) where that is not known or more than a
    sixth of train.
    """
    if set(SPLITS) <= set(sizes):
        return {split: split for split in SPLITS}
    given = [split for split in ("test", "validation") if split in sizes]
    slices: dict[str, str] = dict(zip(("test", "outer_valid"), given, strict=False))
    cut = min(5000, sizes["train"] // 12)
    if held_out and held_out <= sizes["train"] // 6:
        cut = held_out
    start = 0
    for split in ("inner_valid", "outer_valid", "test"):
        if split not in slices:
            slices[split] = f"train[{start}:{start + cut}]"
            start += cut
    return slices | {"train": f"train[{start}:]"}


def data_dir() -> pathlib.Path:
    """Where TFDS keeps its files: $TFDS_DATA_DIR, by default in the folder of all data."""
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or store.root() / "tensorflow_datasets")


def is_prepared(name: str) -> bool:
    """Whether TFDS's files of a builder are there, in any version."""
    return any((data_dir() / name).glob("**/dataset_info.json"))


def not_prepared(name: str) -> InputError:
    """The error for a data set that may not be downloaded, as nobody asked for it."""
    return InputError(
        f"data set {name!r} is not prepared; run: metaopt data prepare {name} --download"
    )


def _check_name(name: str) -> None:
    from tensorflow_datasets.core import registered, visibility

    builder_name, _, config = name.partition("/")
    # Community data sets are looked up in the cloud; ours are those that the package contains.
    with visibility.set_availables_tmp([visibility.DatasetType.TFDS_PUBLIC]):
        known = registered.list_imported_builders()
        if builder_name not in known:
            raise unknown_name("tensorflow-datasets builder", builder_name, known)
        builder_class: Any = registered.imported_builder_cls(builder_name)
    configs = builder_class.builder_configs
    if config and config not in configs:
        raise unknown_name(f"configuration of {builder_name}", config, configs)


def _build(name: str, download: bool) -> LabelledImages:
    import tensorflow_datasets as tfds

    without_tensorflow.install()
    made_by = recipe(name)
    builder: Any = tfds.builder(made_by.builder, data_dir=data_dir(), file_format="array_record")
    image_shape, num_classes = _shapes(name, builder.info.features, made_by)
    if not builder.data_path.exists():  # an older version of it may
        if not download:
            raise not_prepared(name)
        fetch(name, builder)
    sizes = {split: found.num_examples for split, found in builder.info.splits.items()}
    splits = {
        split: _read(builder.as_data_source(split=expression), image_shape, made_by)
        for split, expression in four_splits(sizes, made_by.held_out).items()
    }
    return LabelledImages(splits, image_shape, num_classes)


def _shapes(name: str, features: Any, made_by: Recipe) -> tuple[tuple[int, int, int], int]:
    """Image shape and number of classes, or `InputError` when tasks cannot use the data set."""
    if not {"image", made_by.label} <= set(features):
        raise InputError(
            f"data set {name!r} has {sorted(features)}; it needs image and {made_by.label}"
        )
    shape = features["image"].shape if made_by.size is None else (made_by.size, made_by.size, 3)
    if None in shape or features["image"].np_dtype != np.uint8:
        raise InputError(f"data set {name!r}: its images are not uint8 of one size, but {shape}")
    num_classes = getattr(features[made_by.label], "num_classes", None)
    if not num_classes:
        raise InputError(f"data set {name!r}: its label is not a class")
    return shape, num_classes


def fetch(name: str, builder: Any) -> None:
    """Lets TFDS download and prepare what is missing. Raises `InputError` when that fails."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, util

    without_tensorflow.adapt(builder)
    _check_hosts(name, builder.url_infos or ())
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(download_dir=data_dir() / "downloads")
    except (
        OSError,
        AssertionError,  # files that have to be fetched by hand are missing
        ImportError,  # the builder needs a package that is not installed
        download_manager.NonMatchingChecksumError,
        util.DownloadError,
    ) as error:
        raise InputError(f"data set {name!r} was not prepared: {_first_line(error)}") from error


def _check_hosts(name: str, urls: Iterable[str]) -> None:
    """Raises `InputError` when the hosts have no address: TFDS would try for minutes."""
    if urllib.request.getproxies():
        return  # then addresses are the proxy's business
    for host in sorted({urllib.parse.urlsplit(url).hostname or "" for url in urls}):
        if not _resolves(host):
            raise InputError(f"data set {name!r}: no network, {host} has no address")


def _resolves(host: str) -> bool:
    found = threading.Event()

    def look_up() -> None:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(host, None)
            found.set()

    # A look-up cannot be interrupted, so it gets a thread that may be left behind.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    return found.is_set()


def _read(source: Any, image_shape: tuple[int, int, int], made_by: Recipe) -> dict[str, np.ndarray]:
    shape = (len(source), int(np.prod(image_shape)))
    in_memory = np.prod(shape) <= IN_MEMORY
    images = np.empty(shape, np.uint8) if in_memory else store.scratch(shape, np.uint8)
    labels = np.empty(len(source), np.int32)
    chunk = READ_CHUNK if made_by.size is None else READ_CHUNK_RESIZED
    for index, example in enumerate(examples(source, chunk)):
        pixels = example["image"]
        images[index] = (pixels if made_by.size is None else resized(pixels, made_by.size)).ravel()
        labels[index] = example[made_by.label]
    return {"image": images, "label": labels}


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """A whole image as [size, size, 3] uint8 whatever its aspect, by bicubic interpolation."""
    from PIL import Image

    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def examples(source: Any, chunk: int) -> Iterator[dict[str, Any]]:
    """The examples of a data source of TFDS, in order, read `chunk` at a time."""
    for start in range(0, len(source), chunk):
        yield from source.__getitems__(list(range(start, min(start + chunk, len(source)))))


def _first_line(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error).strip())
    return text if len(text) <= 300 else f"{text[:300]} ..."
