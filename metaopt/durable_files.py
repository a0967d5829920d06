"""Files that are on disk when the call returns, and never half there."""

import os
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file and forces it to disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, content: bytes) -> None:
    """The same of a file that is whole, as it was before or as it is now, whenever it is read."""
    partial = path.with_name(f"{path.name}.part")
    write_durably(partial, content)
    partial.replace(path)
