"""Run folders below a root: what is in them, as it is written there.

    ROOT/NAME/                        workers/run_folder.py says what is where
    ROOT/.service/launches/NAME.json  what this service was asked for

They are the truth: all else that the service knows can be found anew from them.
"""

import datetime
import json
import tomllib
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from metaopt.client.models import Checkpoint, Launch, Workers
from workers.service.files import Entry, Files, is_name

CONFIG, METRICS, STATUS, WORKERS = "config.toml", "metrics.jsonl", "status.json", "workers.json"
SERVICE, LAUNCHES = ".service", "launches"
EVALUATION, REPORT = "evaluation", "report.html"
HYPERPARAMETERS = "hyperparameters.json"
MAX_CONFIG = 2**20  # bytes
MAX_STATUS = 2**16
MAX_WORKERS = 4 * 2**20


class LaunchFile(BaseModel):
    """What the service was asked for, written before the run's process or job is started."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    launch: Launch
    asked: datetime.datetime | None = None  # when it was last asked to begin or to go on
    cancelled: str = ""  # why it never began, in one line
    run: str = ""
    command: Literal["train", "tune"] = "train"
    key: str | None = None  # SHA-256 of who asked and the Idempotency-Key
    body: str = ""  # SHA-256 of what was asked
    process_started: int | None = None  # of `launch.pid`, in clock ticks since the machine began

    @property
    def asked_at(self) -> float:
        """When that was, in seconds since 1970."""
        return (self.asked or self.launch.at).timestamp()


class Config(NamedTuple):
    """The configuration of a run, as far as it can be read."""

    text: str
    table: dict[str, Any] | None  # None when it is not TOML


class Store:
    """Reads run folders. Everything that is missing, half written or foreign is None or empty."""

    def __init__(self, files: Files):
        self.files = files

    def names(self) -> list[str]:
        """Of all runs: what has a configuration, or was launched. Raises `OSError`."""
        folders = [e.name for e in self.files.list(()) if e.is_folder and is_name(e.name)]
        runs = {f for f in folders if f != SERVICE and self.files.look((f, CONFIG))}
        launched = self.files.list((SERVICE, LAUNCHES))
        runs |= {e.name.removesuffix(".json") for e in launched if e.name.endswith(".json")}
        return sorted(name for name in runs if is_name(name))

    def has(self, name: str) -> bool:
        """Whether there is a run of that name."""
        places = (name, CONFIG), (SERVICE, LAUNCHES, f"{name}.json")
        return name != SERVICE and any(self.files.look(place) for place in places)

    def config(self, name: str) -> Config | None:
        begun = self.files.read((name, CONFIG), length=MAX_CONFIG)
        asked = (SERVICE, LAUNCHES, f"{name}.toml")  # to begin with
        content = self.files.read(asked, length=MAX_CONFIG) if begun is None else begun
        if content is None:
            return None
        text = content.decode("utf-8", errors="replace")
        try:
            return Config(text, tomllib.loads(text))
        except ValueError:
            return Config(text, None)

    def status(self, name: str) -> dict[str, Any] | None:
        return self._json((name, STATUS), MAX_STATUS)

    def workers(self, name: str) -> Workers | None:
        """What the run last said of its workers."""
        found = self._json((name, WORKERS), MAX_WORKERS)
        try:
            return Workers.model_validate(found) if found is not None else None
        except ValidationError:
            return None

    def launch(self, name: str) -> LaunchFile | None:
        found = self._json((SERVICE, LAUNCHES, f"{name}.json"), MAX_CONFIG)
        try:
            return LaunchFile.model_validate(found) if found is not None else None
        except ValidationError:
            return None

    def metrics(self, name: str) -> Entry | None:
        entry = self.files.look((name, METRICS))
        return None if entry is None or entry.is_folder else entry

    def checkpoints(self, name: str, best: int | None = None) -> list[Checkpoint]:
        """In order of their steps."""
        found = []
        for folder in self.files.list((name, "checkpoints")):
            digits = folder.name.removeprefix("step_")
            if not folder.is_folder or not (digits.isascii() and digits.isdigit()):
                continue
            inside = self.files.list((name, "checkpoints", folder.name))
            size = sum(e.bytes for e in inside if not e.is_folder)
            at = moment(max((e.written for e in inside), default=folder.written))
            step = int(digits)
            found.append(Checkpoint(step=step, bytes=size, at=at, best=step == best))
        return sorted(found, key=lambda c: c.step)

    def evaluations(self, name: str) -> list[str]:
        """The suites that there is a report of."""
        suites = [e.name for e in self.files.list((name, EVALUATION)) if e.is_folder]
        places = {suite: (name, EVALUATION, suite, REPORT) for suite in suites if is_name(suite)}
        return sorted(suite for suite, place in places.items() if self.files.look(place))

    def report(self, name: str, suite: str) -> bytes | None:
        return self.files.read((name, EVALUATION, suite, REPORT))

    def _json(self, place: tuple[str, ...], limit: int) -> dict[str, Any] | None:
        content = self.files.read(place, length=limit)
        try:
            found = json.loads(content) if content else None
        except (ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None


def moment(seconds: float) -> datetime.datetime:
    """Seconds since 1970 as a time."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
