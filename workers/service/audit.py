"""Who asked to change what: lines of JSON that are only ever added to."""

import datetime
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from fastapi import Request
from pydantic import ValidationError

from metaopt.client.models import AuditEntry
from workers.service.security import address
from workers.service.store import SERVICE

FILE = "audit.jsonl"
TAIL_BYTES = 2**20  # of the file, that the newest entries are read from


class Audit:
    """The log of one service; in ROOT/.service, or beside the index when the root is a URL."""

    def __init__(self, root: str, index: Path):
        folder = index.parent if "://" in root else Path(root) / SERVICE
        self._path = folder / (f"{index.stem}.audit.jsonl" if "://" in root else FILE)
        self._lock = threading.Lock()

    def add(
        self,
        request: Request,
        action: Literal["start", "stop", "resume", "scale"],
        run: str,
        outcome: str = "accepted",
    ) -> None:
        """Writes down who asked and what came of it. Raises `OSError` when it cannot."""
        entry = AuditEntry(
            at=datetime.datetime.now(datetime.UTC),
            by=request.state.user,
            address=address(request.scope),
            action=action,
            run=run,
            outcome=" ".join(outcome.split()),
        )
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.open(self._path, flags, 0o600)
            try:
                os.write(file, f"{entry.model_dump_json()}\n".encode())
            finally:
                os.close(file)

    def newest(self, limit: int) -> Sequence[AuditEntry]:
        """The newest entries, the newest first; lines that are none are left out."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES))
                lines = file.read().splitlines()
        except OSError:
            return []
        entries = (_entry(line) for line in reversed(lines))
        return [entry for entry in entries if entry][:limit]


def _entry(line: bytes) -> AuditEntry | None:
    try:
        return AuditEntry.model_validate(json.loads(line))
    except (ValueError, ValidationError):
        return None
