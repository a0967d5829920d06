"""What a run says of itself in its folder, for whoever watches it.

status.json    how it fares, with a heartbeat; at the end how it ended
workers.json   its workers, about once a second
.lock          held for as long as its process is there

A run whose heartbeat is old, and that says it is running, has died without a word.
"""

import contextlib
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

from taskset import whole_files
from taskset.errors import InputError

logger = logging.getLogger(__name__)

STATUS, WORKERS, LOCK = "status.json", "workers.json", ".lock"
HEARTBEAT_SECONDS = 5.0
REMOTE_SECONDS = 30.0  # between copies to a URL
VIEW_SECONDS = 1.0  # between looks at the workers; of many, 5 ms for each
SECONDS_OF_ONE = 0.005

RunState: TypeAlias = Literal["running", "succeeded", "stopped", "failed"]


class RunStatus(NamedTuple):
    """What a run has said last. Times are seconds since 1970."""

    state: RunState
    began: float  # this attempt
    heartbeat: float
    attempt: int = 0  # one more each time that it goes on
    host: str = ""
    pid: int = 0
    ended: float | None = None
    reason: str = ""  # why it failed or stopped, in one line
    submission: str | None = None  # of the Ray job that it is


def read(folder: Path) -> RunStatus | None:
    """What the run in `folder` has said last; None when it never did, or not in this format."""
    try:
        return parse(json.loads((folder / STATUS).read_bytes()))
    except (OSError, ValueError):
        return None


def parse(said: Any) -> RunStatus | None:
    """The content of a status.json; None when it is not of this format."""
    if not isinstance(said, dict) or said.get("state") not in get_args(RunState):
        return None
    try:
        return RunStatus(
            state=said["state"],
            began=float(said["began"]),
            heartbeat=float(said["heartbeat"]),
            attempt=int(said.get("attempt") or 0),
            host=str(said.get("host") or ""),
            pid=int(said.get("pid") or 0),
            ended=None if said.get("ended") is None else float(said["ended"]),
            reason=" ".join(str(said.get("reason") or "").split()),
            submission=str(said["submission"]) if said.get("submission") else None,
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


class Watched(Protocol):
    """The pool of a run, as far as it is told of."""

    @property
    def states(self) -> Mapping[str, int]: ...

    def view(self) -> Sequence[Any]: ...


class Reporter:
    """Writes the status of a run, until `end` is called."""

    def __init__(self, folder: Path, pool: Watched, upload: Callable[[], None] | None = None):
        """`upload` copies the two files to where the run folder is a copy of."""
        before = read(folder)
        now = time.time()
        self._folder, self._pool, self._upload = folder, pool, upload
        self._status = RunStatus(
            state="running",
            attempt=before.attempt + 1 if before else 0,
            host=platform.node(),
            pid=os.getpid(),
            began=now,
            heartbeat=now,
            submission=_submission(),
        )
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def begin(self) -> None:
        """Says that the run has begun, and goes on to do so."""
        self._write_status()
        self._thread.start()

    def end(self, state: RunState, reason: str = "") -> None:
        """Says how it ended."""
        self._ended.set()
        self._thread.join()
        now = time.time()
        self._status = self._status._replace(
            state=state, reason=" ".join(reason.split()), heartbeat=now, ended=now
        )
        self._write_status()
        self._write_remotely()

    def _beat(self) -> None:
        view_seconds = VIEW_SECONDS + SECONDS_OF_ONE * sum(self._pool.states.values())
        next_beat = next_copy = 0.0
        while not self._ended.wait(view_seconds):
            now = time.time()
            self._write(WORKERS, {"at": now, "workers": [v._asdict() for v in self._pool.view()]})
            if now >= next_beat:
                next_beat = now + HEARTBEAT_SECONDS
                self._status = self._status._replace(heartbeat=now)
                self._write_status()
            if now >= next_copy:
                next_copy = now + REMOTE_SECONDS
                self._write_remotely()

    def _write_status(self) -> None:
        self._write(STATUS, self._status._asdict())

    def _write(self, name: str, content: object) -> None:
        """What cannot be written now is written with the next heartbeat."""
        with contextlib.suppress(OSError):
            whole_files.replace(self._folder / name, json.dumps(content).encode())

    def _write_remotely(self) -> None:
        if self._upload is None:
            return
        try:
            self._upload()
        except OSError as error:
            logger.warning("the status could not be copied: %s", error)


@contextlib.contextmanager
def reported(
    folder: Path, pool: Watched, upload: Callable[[], None] | None = None
) -> Iterator[Reporter]:
    """Within it, the run in `folder` says that it is running; who leaves it by an error, so too."""
    reporter = Reporter(folder, pool, upload)
    reporter.begin()
    try:
        yield reporter
    except KeyboardInterrupt:
        reporter.end("stopped", "interrupted twice: without a checkpoint of the last outer step")
        raise
    except BaseException as error:
        said = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        reporter.end("failed", said)
        raise


def _submission() -> str | None:
    """Of the Ray job whose entry point this process is."""
    try:
        asked = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", ""))
        return asked["metadata"]["job_submission_id"]
    except (ValueError, KeyError, TypeError):
        return None
