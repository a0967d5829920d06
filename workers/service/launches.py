"""What the service was asked to launch: RUNS/.service/launches/NAME.json, written before it begins.

NAME.toml beside it is the configuration to begin with. A launch without a process or a submission
is one that the service did not live to finish.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from taskset import whole_files
from workers.service.store import LAUNCHES, SERVICE, LaunchFile


def digest(*parts: str) -> str:
    """The SHA-256 of texts, in hex: of other texts, or cut elsewhere, another one."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part.encode()).digest())
    return whole.hexdigest()


class Launches:
    """The launch records of the runs in a folder."""

    def __init__(self, root: Path):
        self._folder = root / SERVICE / LAUNCHES

    def config(self, run: str) -> Path:
        """Where the configuration is that a run begins with."""
        return self._folder / f"{run}.toml"

    def exists(self, run: str) -> bool:
        """Whether the run was asked for."""
        return self._path(run).exists()

    def read(self, run: str) -> LaunchFile | None:
        """None where there is none that can be read."""
        return _read(self._path(run))

    def all(self) -> Iterator[LaunchFile]:
        """All that can be read, in order of their names."""
        for path in sorted(self._folder.glob("*.json")):
            if record := _read(path):
                yield record

    def remove(self, run: str) -> None:
        """Forgets a launch, of which nothing came."""
        self._path(run).unlink(missing_ok=True)
        self.config(run).unlink(missing_ok=True)

    def with_key(self, key: str) -> LaunchFile | None:
        """The launch that was asked for with this hash of an idempotency key."""
        return next((record for record in self.all() if record.key == key), None)

    def add(self, record: LaunchFile, config: str) -> bool:
        """Writes a new one, whole or not at all; False where the name is taken, by whomever."""
        self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(exist_ok=True)
        if self.exists(record.run):
            return False
        whole_files.replace(self.config(record.run), config.encode())
        mine = self._folder / f".{record.run}.{secrets.token_hex(8)}"
        try:
            whole_files.replace(mine, record.model_dump_json().encode())
            os.link(mine, self._path(record.run))  # a name for it, which nothing else has
        except FileExistsError:
            return False
        finally:
            mine.unlink(missing_ok=True)
        return True

    def replace(self, record: LaunchFile) -> None:
        """Writes what is known now."""
        whole_files.replace(self._path(record.run), record.model_dump_json().encode())

    def _path(self, run: str) -> Path:
        return self._folder / f"{run}.json"


def _read(path: Path) -> LaunchFile | None:
    try:
        return LaunchFile.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None
