"""Data sets by name and source: the one door to all data.

Nothing here touches the network, but `prepare(..., download=True)`.
"""

import functools
import re
from collections.abc import Mapping

import jax
import numpy as np

from taskset.data import embedded, stand_ins, store, text_sources, tfds
from taskset.data.arrays import ArrayDataset
from taskset.data.images import DataInfo
from taskset.data.prepared import Builder, Info
from taskset.data.text_corpus import TextInfo
from taskset.errors import InputError, unknown_name

SOURCES = ("embedded", "tfds")

# What is known about a data set of each kind: the type of its `Info`.
KINDS: dict[str, type] = {"image": DataInfo, "text": TextInfo}


def names(source: str, kind: str | None = None) -> tuple[str, ...]:
    """The names of a source's data sets, of one kind or of all.

    Of tfds, those that are known to work; any other labelled images of it may work too. Raises
    `InputError` for an unknown source.
    """
    if source not in SOURCES:
        raise unknown_name("data source", source, SOURCES)
    images = _image_builders() if source == "embedded" else tfds.SUGGESTED
    found = {"image": tuple(images), "text": tuple(_text_names(source))}
    return sum(found.values(), ()) if kind is None else found[kind]


def kind_of(name: str, source: str) -> str:
    """The kind of a data set by its name: "text", or "image" for what is not known as text."""
    return "text" if name in _text_names(source) else "image"


def check(name: str, source: str, kind: str = "image") -> None:
    """Raises `InputError` when there can be no such data set of this kind; reads nothing.

    Whether tensorflow-datasets has the name is found out only when the data set is prepared.
    """
    valid = names(source, kind)
    if source == "embedded" and name not in valid:
        if name in names("tfds", kind):
            raise InputError(f"data set {name!r} is not embedded; add source=tfds")
        raise unknown_name("data set", name, valid)
    if source == "tfds" and name in names("embedded"):
        raise InputError(f"data set {name!r} is embedded, not of tfds; its source is embedded")
    if kind_of(name, source) != kind:
        raise InputError(f"data set {name!r} is one of {kind_of(name, source)}, not of {kind}")
    if not re.fullmatch(r"\w+(/[\w.-]+)?", name):
        raise InputError(f"data set {name!r} is no name; use one like mnist or emnist/letters")


@functools.lru_cache(maxsize=8)
def load(name: str, source: str = "embedded") -> ArrayDataset:
    """The labelled images on the default device; prepares them first if that needs no download.

    Batches are {"image": [N, H*W*C] uint8, "label": [N] int32}. Raises `InputError` when the name
    is unknown, or the data set has to be downloaded first.
    """
    check(name, source)
    with jax.ensure_compile_time_eval():  # a cached value must not be a tracer of the caller's jit
        return ArrayDataset(jax.device_put(read(name, source)))


@functools.lru_cache(maxsize=256)
def info(name: str, source: str = "embedded") -> DataInfo:
    """What is known about labelled images, without their arrays. Prepares and raises as `load`."""
    check(name, source)
    found = prepare(name, source)
    assert isinstance(found, DataInfo)
    return found


def read(name: str, source: str = "embedded") -> dict[str, dict[str, np.ndarray]]:
    """The arrays of a data set of any kind, in host memory, by split. Prepares it as `load` does.

    They are read-only and mapped from the file: memory is taken as they are read.
    """
    prepare(name, source)
    return store.read(store.path_of(name, source))


def prepare(
    name: str, source: str = "embedded", *, download: bool = False, rebuild: bool = False
) -> Info:
    """Puts the data set on disk, unless it is there, and says what it is. Safe between processes.

    Only with `download` may it use the network. `rebuild` replaces what is there. Raises
    `InputError` when the name is unknown, the data set has to be downloaded and may not be, or the
    download fails.
    """
    check(name, source, kind_of(name, source))
    path = store.path_of(name, source)
    if rebuild or not path.exists():
        build = _builder(name, source, download)
        with store.locked(path):
            if rebuild or not path.exists():
                built = build()
                store.write(path, built.splits, built.describe(name, source)._asdict())
                load.cache_clear()
                info.cache_clear()
    return recorded(name, source)


def recorded(name: str, source: str) -> Info:
    """What is known about a data set that is prepared. Raises `InputError` when it is damaged."""
    record = store.read_record(store.path_of(name, source))
    return KINDS[record["kind"]](**record)


def verify(name: str, source: str = "embedded") -> Info:
    """What is known about a data set, after reading it all against its fingerprint.

    Prepares nothing. Raises `InputError` when it is not prepared, or not what was written.
    """
    check(name, source, kind_of(name, source))
    path = store.path_of(name, source)
    if not path.exists():
        raise InputError(
            f"data set {name!r} is not prepared; run: metaopt data prepare {name} --source {source}"
        )
    store.verify(path)
    return recorded(name, source)


def _image_builders() -> Mapping[str, Builder]:
    return {**embedded.BUILDERS, **stand_ins.BUILDERS}


def _text_names(source: str) -> Mapping[str, object]:
    return text_sources.EMBEDDED if source == "embedded" else text_sources.TFDS


def _builder(name: str, source: str, download: bool) -> Builder:
    if source == "embedded":
        return {**_image_builders(), **text_sources.EMBEDDED}[name]
    return text_sources.TFDS.get(name, tfds.builder)(name, download)
