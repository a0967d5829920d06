"""Prepared data sets on disk: one .npz file each, written beside its place and then renamed.

Reading needs no lock, because a file is there whole or not at all. Writing is locked between
processes, so that a hundred workers that start together prepare a data set once.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from taskset.base import SPLITS
from taskset.data.images import DataInfo, LabelledImages
from taskset.errors import InputError

FORMAT = "v1"  # a new layout or a new rule for splits takes a new folder


def root() -> pathlib.Path:
    """The folder of all data: $METAOPT_DATA_DIR, by default ~/.cache/metaopt/data."""
    default = pathlib.Path.home() / ".cache" / "metaopt" / "data"
    return pathlib.Path(os.environ.get("METAOPT_DATA_DIR") or default).expanduser()


def path_of(name: str, source: str) -> pathlib.Path:
    """Where the data set lies once it is prepared."""
    return root() / FORMAT / source / f"{name.replace('/', '-')}.npz"


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Holds the lock of `path` against other processes; waits for it.

    Raises `InputError` when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise _cannot_write(path, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by closing, however the process ends
        yield


def write(path: pathlib.Path, images: LabelledImages, info: DataInfo) -> None:
    """Writes `path` whole. Call it under `locked`. Raises `InputError` when the disk refuses."""
    arrays: dict[str, Any] = {"info": np.asarray(json.dumps(info._asdict()))}
    for split in SPLITS:
        arrays |= {f"{split}/{name}": array for name, array in images.splits[split].items()}
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


def read(path: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of all splits. Raises `InputError` when the file is damaged."""
    splits: dict[str, dict[str, np.ndarray]] = {split: {} for split in SPLITS}
    with _opened(path) as file:
        for key in file.files:
            if key != "info":
                split, name = key.split("/")
                splits[split][name] = file[key]
    return splits


def read_info(path: pathlib.Path) -> DataInfo:
    """What is known about the data set, without reading its arrays."""
    with _opened(path) as file:
        fields = json.loads(str(file["info"]))
        return DataInfo(**fields | {"image_shape": tuple(fields["image_shape"])})


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError) as error:
        raise InputError(f"{path} is damaged; delete it and prepare it again") from error


def _cannot_write(path: pathlib.Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write {path}: {error.strerror}; set METAOPT_DATA_DIR to a folder you can write to"
    )
