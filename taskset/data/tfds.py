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
from taskset.errors import InputError, unknown_name

# Small enough for the device, and prepared without extra packages. Any other image classification
# builder whose images have one size works too.
SUGGESTED = ("cifar10", "cifar100", "fashion_mnist", "kmnist", "mnist", "svhn_cropped")

READ_CHUNK = 1024  # examples
PROBE_SECONDS = 5.0


def builder(name: str, download: bool) -> Callable[[], LabelledImages]:
    """What builds the data set `name`, e.g. "mnist" or "emnist/letters", from TFDS's own files.

    It prepares those first when they are missing, which needs `download`. Raises `InputError`, and
    leaves nothing on disk, when they are missing otherwise, or when there is no such data set. The
    result raises it when the download fails, or tasks cannot use what comes.
    """
    _check_name(name)
    if not download and not _prepared(name):
        raise _not_prepared(name)
    return functools.partial(_build, name, download)


def four_splits(sizes: dict[str, int]) -> dict[str, str]:
    """TFDS slices for our splits, from the number of examples in each of the builder's own.

    Four splits of these names are used as they are. Otherwise the rule of TaskSet
    (https://arxiv.org/abs/2009.11243): a missing held-out split is cut off the front of train,
    min(5000, a twelfth of train) examples each.
    """
    if set(SPLITS) <= set(sizes):
        return {split: split for split in SPLITS}
    held_out = [split for split in ("test", "validation") if split in sizes]
    slices: dict[str, str] = dict(zip(("test", "outer_valid"), held_out, strict=False))
    cut = min(5000, sizes["train"] // 12)
    start = 0
    for split in ("inner_valid", "outer_valid", "test"):
        if split not in slices:
            slices[split] = f"train[{start}:{start + cut}]"
            start += cut
    return slices | {"train": f"train[{start}:]"}


def data_dir() -> pathlib.Path:
    """Where TFDS keeps its files: $TFDS_DATA_DIR, by default in the folder of all data."""
    return pathlib.Path(os.environ.get("TFDS_DATA_DIR") or store.root() / "tensorflow_datasets")


def _prepared(name: str) -> bool:
    return any((data_dir() / name).glob("**/dataset_info.json"))


def _not_prepared(name: str) -> InputError:
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
    builder: Any = tfds.builder(name, data_dir=data_dir(), file_format="array_record")
    image_shape, num_classes = _shapes(name, builder)
    if not builder.data_path.exists():  # an older version of it may
        if not download:
            raise _not_prepared(name)
        _download(name, builder)
    sizes = {split: found.num_examples for split, found in builder.info.splits.items()}
    splits = {
        split: _read(builder.as_data_source(split=expression), image_shape)
        for split, expression in four_splits(sizes).items()
    }
    return LabelledImages(splits, image_shape, num_classes)


def _shapes(name: str, builder: Any) -> tuple[tuple[int, int, int], int]:
    """Image shape and number of classes, or `InputError` when tasks cannot use the data set."""
    features = builder.info.features
    if not {"image", "label"} <= set(features):
        raise InputError(f"data set {name!r} has {sorted(features)}; it needs image and label")
    shape = features["image"].shape
    if None in shape or features["image"].np_dtype != np.uint8:
        raise InputError(f"data set {name!r}: its images are not uint8 of one size, but {shape}")
    num_classes = getattr(features["label"], "num_classes", None)
    if not num_classes:
        raise InputError(f"data set {name!r}: its label is not a class")
    return shape, num_classes


def _download(name: str, builder: Any) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, util

    _check_hosts(name, builder.url_infos or ())
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(download_dir=data_dir() / "downloads")
    except (
        OSError,
        AssertionError,  # files that have to be fetched by hand are missing
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


def _read(source: Any, image_shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    images = np.empty((len(source), int(np.prod(image_shape))), np.uint8)
    labels = np.empty(len(source), np.int32)
    for index, example in enumerate(_examples(source)):
        images[index] = example["image"].reshape(-1)
        labels[index] = example["label"]
    return {"image": images, "label": labels}


def _examples(source: Any) -> Iterator[dict[str, Any]]:
    for start in range(0, len(source), READ_CHUNK):
        yield from source.__getitems__(list(range(start, min(start + READ_CHUNK, len(source)))))


def _first_line(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error).strip())
    return text if len(text) <= 300 else f"{text[:300]} ..."
