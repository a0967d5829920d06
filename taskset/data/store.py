"""Prepared data sets on disk: one .npz file each, written beside its place and then renamed.

A file holds any arrays, by split and name, and a record of plain values about them. Reading needs
no lock, because a file is there whole or not at all. Writing is locked between processes, so that a
hundred workers that start together prepare a data set once.

np.savez does not compress, so arrays are mapped into memory where they lie in the file: reading
takes milliseconds, processes share one copy, and a data set may be larger than the memory.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from taskset.base import SPLITS
from taskset.data.prepared import Arrays, fingerprint
from taskset.errors import InputError

FORMAT = "v2"  # a new layout or a new rule for splits takes a new folder
ALWAYS_VERIFIED = (
    64 * 2**20
)  # bytes; the fingerprint of smaller files is checked when they are read


def root() -> pathlib.Path:
    """The folder of all data: $METAOPT_DATA_DIR, by default ~/.cache/metaopt/data."""
    default = pathlib.Path.home() / ".cache" / "metaopt" / "data"
    return pathlib.Path(os.environ.get("METAOPT_DATA_DIR") or default).expanduser()


def path_of(name: str, source: str) -> pathlib.Path:
    """Where the data set lies once it is prepared."""
    return root() / FORMAT / source / f"{name.replace('/', '-', 1)}.npz"


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Holds the lock of `path` against other processes; waits for it.

    Raises `InputError` when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.stem}.lock").open("w")
    except OSError as error:
        raise _cannot_write(path, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released by closing, however the process ends
        yield


def write(path: pathlib.Path, splits: Arrays, record: Mapping[str, Any]) -> None:
    """Writes `path` whole: arrays and a record, which holds their fingerprint and survives JSON.

    Call it under `locked`. Raises `InputError` when the disk refuses.
    """
    arrays: dict[str, Any] = {"info": np.asarray(json.dumps(dict(record)))}
    for split in SPLITS:
        arrays |= {f"{split}/{name}": array for name, array in splits[split].items()}
    partial = path.with_name(f"{path.stem}.partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


def read(path: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of all splits, read-only and mapped from the file.

    Raises `InputError` when the file is damaged; changed values are found in files up to
    `ALWAYS_VERIFIED` bytes, and by `verify` in all.
    """
    splits = _map(path)
    if path.stat().st_size <= ALWAYS_VERIFIED:
        _check_fingerprint(path, splits)
    return splits


def read_record(path: pathlib.Path) -> dict[str, Any]:
    """What was recorded with the arrays, without reading them; lists come back as tuples."""
    with _damage_named(path), np.load(path, allow_pickle=False) as file:
        record = json.loads(str(file["info"]))
        return {key: tuple(x) if isinstance(x, list) else x for key, x in record.items()}


def verify(path: pathlib.Path) -> None:
    """Reads the whole file. Raises `InputError` unless it holds what was written."""
    _check_fingerprint(path, _map(path))


def scratch(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """A writable array on the disk of the data, without a name; for what may exceed the memory.

    Raises `InputError` when the disk has no room for it.
    """
    size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    folder = root()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(
                file.fileno(), 0, size
            )  # writing to a map may not find the disk full
            return np.memmap(file, dtype, "r+", shape=shape)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _map(path: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    splits: dict[str, dict[str, np.ndarray]] = {split: {} for split in SPLITS}
    with _damage_named(path), path.open("rb") as file, zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            split, _, name = member.filename.removesuffix(".npy").partition("/")
            if name:
                splits[split][name] = _map_member(file, member)
    return splits


def _map_member(file: Any, member: zipfile.ZipInfo) -> np.ndarray:
    file.seek(member.header_offset + 26)  # past the fields of the zip format that are fixed
    name_length, extra_length = struct.unpack("<HH", file.read(4))
    file.seek(name_length + extra_length, os.SEEK_CUR)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(f"{member.filename} is no array as np.savez writes it")
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if 0 in shape:
        return np.empty(shape, dtype)
    mapped = np.asarray(np.memmap(file, dtype, "r", offset=file.tell(), shape=shape))
    return mapped if mapped.flags.aligned else mapped.copy()


def _check_fingerprint(path: pathlib.Path, splits: Arrays) -> None:
    if fingerprint(splits) != read_record(path).get("fingerprint"):
        raise _damaged(path)


@contextlib.contextmanager
def _damage_named(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, EOFError, KeyError, ValueError, struct.error) as error:
        raise _damaged(path) from error


def _damaged(path: pathlib.Path) -> InputError:
    name, source = path.stem.replace("-", "/", 1), path.parent.name
    return InputError(
        f"{path} is damaged; delete it, or run: "
        f"metaopt data prepare {name} --source {source} --rebuild"
    )


def _cannot_write(path: pathlib.Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write {path}: {error.strerror}; set METAOPT_DATA_DIR to a folder you can write to"
    )
