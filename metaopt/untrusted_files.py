"""Files that anyone may have made: read within a limit, and refused in one line if they are odd.

Nothing in them is code, and nothing is run: JSON, safetensors, and arrays in a zip file that is not
compressed. No more is allocated than a few times the limit, whatever sizes a file claims to have.
"""

import io
import json
import math
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from taskset.errors import InputError

Arrays = dict[str, np.ndarray]

FLOAT32 = np.dtype("<f4")
# What the parsers raise on damaged bytes. `SyntaxError` comes from headers of arrays,
# `RuntimeError` from nesting that is too deep and from zip files with a password.
DAMAGE = (
    ArithmeticError,
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    safetensors.SafetensorError,
    struct.error,
    zipfile.BadZipFile,
)


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file of at most `limit` bytes.

    Raises `InputError` where it is larger, cannot be read, or is no regular file.
    """
    try:
        # A pipe has no end, and opening one may wait for ever.
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InputError(f"{path} cannot be read: it is no regular file")
        if found.st_size > limit:
            raise InputError(f"{path} has more than {limit:,} bytes, the limit for such a file")
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def parse_json(content: bytes, path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `InputError` where there is none."""
    try:
        value = json.loads(content, parse_constant=_no_constant)
    except DAMAGE as error:
        raise InputError(f"{path} is damaged: it is no JSON") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} is damaged: it is JSON, but no object")
    return value


def parse_safetensors(content: bytes, path: Path) -> Arrays:
    """The arrays of a safetensors file by name; they are finite and float32, else `InputError`."""
    try:
        arrays = {name: _array(value) for name, value in safetensors.deserialize(content)}
    except DAMAGE as error:
        raise InputError(f"{path} is damaged: {_line(error)}") from error
    return _finite(arrays, path)


def parse_npz(content: bytes, path: Path) -> Arrays:
    """The arrays of a file by `np.savez`; they are finite and float32, else `InputError`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            arrays = {_name(entry): _npy(archive, entry, len(content)) for entry in entries}
        if len(arrays) != len(entries):
            raise ValueError("two arrays have the same name")
    except DAMAGE as error:
        raise InputError(f"{path} is damaged: {_line(error)}") from error
    return _finite(arrays, path)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _array(value: dict[str, Any]) -> np.ndarray:
    if value["dtype"] != "F32":
        raise ValueError(f"an array is of {value['dtype']}, not F32")
    return np.frombuffer(value["data"], FLOAT32).reshape(value["shape"]).astype(np.float32)


def _name(entry: zipfile.ZipInfo) -> str:
    name, dot, suffix = entry.filename.rpartition(".")
    if (dot, suffix) != (".", "npy"):
        raise ValueError(f"it has {entry.filename[:80]!r}, which is no array")
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("it is compressed")
    return name


def _npy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limit: int) -> np.ndarray:
    with archive.open(entry) as stored:
        file = io.BytesIO(stored.read(limit))
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array is of an unknown version")
    shape, columns_first, dtype = np.lib.format.read_array_header_1_0(file)
    content = file.read()
    if dtype != FLOAT32 or columns_first or len(content) != math.prod(shape) * FLOAT32.itemsize:
        raise ValueError(f"an array claims to be {dtype}{list(shape)}")
    return np.frombuffer(content, FLOAT32).reshape(shape).astype(np.float32)


def _finite(arrays: Arrays, path: Path) -> Arrays:
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            raise InputError(f"{path}: {name[:80]!r} has values that are not finite")
    return arrays


def _line(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())[:200]
