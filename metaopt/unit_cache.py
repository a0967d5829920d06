"""Where finished units of evaluations are kept: one file each, under the key of its content."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from taskset import whole_files
from taskset.errors import InputError


class UnitCache(NamedTuple):
    """The records in a folder, which any number of evaluations share."""

    folder: Path

    def read(self, key: str) -> dict[str, Any] | None:
        """The record of a unit; None where there is none, or its file is damaged."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path(key).read_bytes())
            if kept["key"] == key and isinstance(kept["record"], dict):
                return kept["record"]
        return None

    def write(self, key: str, record: Mapping[str, Any]) -> None:
        """Keeps a record. Raises `InputError` when the folder cannot be written."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            content = json.dumps({"key": key, "record": record}, allow_nan=False)
            whole_files.replace(path, content.encode())
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}; give another --cache"
            ) from error

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
