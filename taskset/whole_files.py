"""Files that are whole whenever they are read: as they were before, or as they are now.

Whoever writes is killed at any moment, and whoever else writes the same file at the same time: the
last one to be done has it.
"""

import os
import secrets
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Writes a file beside its place, forces it to disk and renames it.

    Raises `OSError` when that cannot be done; then nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        write_durably(partial, content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file and forces it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
