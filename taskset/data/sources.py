"""Data sets by name and source: the one door to all data.

Nothing here touches the network, but `prepare(..., download=True)`.
"""

import functools
import re

import jax

from taskset.data import embedded, store, tfds
from taskset.data.arrays import ArrayDataset
from taskset.data.images import DataInfo, describe
from taskset.errors import InputError, unknown_name

SOURCES = ("embedded", "tfds")


def names(source: str) -> tuple[str, ...]:
    """The names of a source's data sets; of tfds, those known to fit on the device.

    Raises `InputError` for an unknown source.
    """
    if source not in SOURCES:
        raise unknown_name("data source", source, SOURCES)
    return tuple(embedded.BUILDERS) if source == "embedded" else tfds.SUGGESTED


def check(name: str, source: str) -> None:
    """Raises `InputError` when there can be no such data set; reads nothing.

    Whether tensorflow-datasets has the name is found out only when the data set is prepared.
    """
    valid = names(source)
    if source == "embedded" and name not in valid:
        if name in tfds.SUGGESTED:
            raise InputError(f"data set {name!r} is not embedded; add source=tfds")
        raise unknown_name("data set", name, valid)
    if source == "tfds" and name in embedded.BUILDERS:
        raise InputError(f"data set {name!r} is embedded, not of tfds; its source is embedded")
    if not re.fullmatch(r"\w+(/[\w.-]+)?", name):
        raise InputError(f"data set {name!r} is no name; use one like mnist or emnist/letters")


@functools.lru_cache(maxsize=8)
def load(name: str, source: str = "embedded") -> ArrayDataset:
    """The data set on the default device; prepares it first if that needs no download.

    Batches are {"image": [N, H*W*C] uint8, "label": [N] int32}. Raises `InputError` when the name
    is unknown, or the data set has to be downloaded first.
    """
    prepare(name, source)
    arrays = store.read(store.path_of(name, source))
    with jax.ensure_compile_time_eval():  # a cached value must not be a tracer of the caller's jit
        return ArrayDataset(jax.device_put(arrays))


@functools.lru_cache(maxsize=256)
def info(name: str, source: str = "embedded") -> DataInfo:
    """What is known about the data set, without its arrays. Prepares and raises as `load` does."""
    return prepare(name, source)


def prepare(name: str, source: str = "embedded", *, download: bool = False) -> DataInfo:
    """Puts the data set on disk, unless it is there, and says what it is. Safe between processes.

    Only with `download` may it use the network. Raises `InputError` when the name is unknown, the
    data set has to be downloaded and may not be, or the download fails.
    """
    check(name, source)
    path = store.path_of(name, source)
    if not path.exists():
        build = embedded.BUILDERS[name] if source == "embedded" else tfds.builder(name, download)
        with store.locked(path):
            if not path.exists():
                images = build()
                store.write(path, images, describe(name, source, images))
    return store.read_info(path)
