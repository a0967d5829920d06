"""A launcher that only remembers what it was asked for, and a desk in this process."""

import threading
import time
from collections.abc import Callable
from typing import Any

from workers.service.desk import Desk
from workers.service.launcher import Launcher, Unreachable
from workers.service.store import LaunchFile


class DeskHere(Desk):
    """Answers in this process."""

    def ask(self, question: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        return question(*arguments, **named)


class FakeLauncher(Launcher):
    """Remembers what it was asked for; `alive` says which runs are there."""

    kind = "process"

    def __init__(self) -> None:
        self.begun: list[tuple[str, str]] = []
        self.resumed: list[tuple[str, int | None]] = []
        self.stopped: list[str] = []
        self.alive: set[str] = set()
        self.unreachable: set[str] = set()  # methods
        self.lock = threading.Lock()

    def prepared(self, record: LaunchFile) -> LaunchFile:
        return record

    def begin(self, record: LaunchFile, config: str) -> LaunchFile:
        self._reach("begin")
        time.sleep(0.02)  # a race that there is, shows
        self.begun.append((record.run, config))
        self.alive.add(record.run)
        return record

    def go_on(self, record: LaunchFile, num_steps: int | None) -> LaunchFile:
        self._reach("go_on")
        self.resumed.append((record.run, num_steps))
        self.alive.add(record.run)
        return record

    def is_there(self, record: LaunchFile) -> bool | None:
        return None if "is_there" in self.unreachable else record.run in self.alive

    def began(self, record: LaunchFile) -> bool:
        return record.run in self.alive

    def stop(self, record: LaunchFile) -> bool:
        self._reach("stop")
        self.stopped.append(record.run)
        return record.run in self.alive

    def log(self, record: LaunchFile) -> str:
        return f"log of {record.run}\n"

    def _reach(self, method: str) -> None:
        if method in self.unreachable:
            raise Unreachable("no Ray dashboard answers")
