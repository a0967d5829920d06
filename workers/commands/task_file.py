"""Files of sampled tasks: which they are, and the mixture that they come from."""

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taskset import whole_files
from taskset.errors import InputError
from taskset.mixture import Mixture

FORMAT = 1


def write(path: Path, mixture: Mixture, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Writes a file of tasks, all of it or nothing.

    Raises `InputError` when the disk refuses.
    """
    fields = {f.name: getattr(mixture, f.name) for f in dataclasses.fields(Mixture)}
    content = {"format": FORMAT, "mixture": fields, "tasks": list(tasks)}
    try:
        whole_files.replace(path, f"{json.dumps(content, indent=1)}\n".encode())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --out") from error


def names(given: str) -> list[str]:
    """The names of the tasks of a file; or `given` itself, where it is the name of a task.

    Raises `InputError` for a file that cannot be read, or is none of tasks.
    """
    path = Path(given)
    if not given.endswith(".json"):
        return [given]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(content)
        if found["format"] == FORMAT:
            return [str(task["name"]) for task in found["tasks"]]
    raise InputError(f"{path} is no file of tasks; write one with: metaopt tasks sample --out FILE")
