"""Runs as processes of this machine, each in a session of its own: they outlive the service."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from workers.base_config import BaseConfig
from workers.service.launcher import TAIL_BYTES, Launcher, Life, Liveness, Unreachable
from workers.service.launches import HIDDEN, Launches, LaunchRecord

COMMAND = (sys.executable, "-m", "workers.cli")
STARTED = 19  # index of the start time in /proc/PID/stat, after the name
SECRETS = ("METAOPT_SERVICE_TOKEN", "METAOPT_SERVICE_TOKENS")  # which a run has no use for


class ProcessLauncher(Launcher):
    """A process is known by its id and when it began, for ids are used again."""

    kind = "process"

    def __init__(self, root: Path):
        self._root = root.absolute()
        self._launches = Launches(self._root)
        self._logs = self._root / HIDDEN / "logs"
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()

    def placed(self, settings: BaseConfig) -> BaseConfig:
        """In processes of this machine, or in the one that learns where the recipe says so."""
        if settings.workers.pool != "ray":
            return settings
        workers = dataclasses.replace(settings.workers, pool="process")
        return dataclasses.replace(settings, workers=workers)

    def prepared(self, record: LaunchRecord) -> LaunchRecord:
        return _with_process(record, None)

    def begin(self, record: LaunchRecord, settings: BaseConfig) -> LaunchRecord:
        del settings  # it is in the file
        config = str(self._launches.config(record.run))
        return self._spawn(record, [record.command, "--config", config, *self._mark(record)])

    def go_on(self, record: LaunchRecord, num_steps: int | None) -> LaunchRecord:
        steps = [] if num_steps is None else ["--learner.num-steps", str(num_steps)]
        return self._spawn(record, [record.command, *steps, *self._mark(record, "--resume")])

    def liveness(self, record: LaunchRecord) -> Liveness:
        self._reap()
        pid = self._pid(record)
        if pid is not None:
            return Liveness(Life.ALIVE)
        was_there = record.launch.pid is not None
        return Liveness(Life.ENDED if was_there else Life.NEVER, self.last_line(record))

    def stop(self, record: LaunchRecord) -> bool:
        pid = self._pid(record)
        if pid is None:
            return False
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if self._pid(record) != pid:  # it ended, and another took its id
                return False
            signal.pidfd_send_signal(handle, signal.SIGTERM)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def log(self, record: LaunchRecord) -> str:
        try:
            with self._log(record).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _spawn(self, record: LaunchRecord, arguments: list[str]) -> LaunchRecord:
        self._reap()
        self._logs.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if k not in SECRETS}
        try:
            with self._log(record).open("ab") as log:
                child = subprocess.Popen(
                    [*COMMAND, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise Unreachable(f"no process can be started: {error.strerror}") from error
        with self._lock:
            self._children[child.pid] = child
        return _with_process(record, child.pid)

    def _reap(self) -> None:
        """Takes note of children that have ended, which are zombies until then."""
        with self._lock:
            for pid in [pid for pid, child in self._children.items() if child.poll() is not None]:
                del self._children[pid]

    def _pid(self, record: LaunchRecord) -> int | None:
        """The process of a launch; also of one that the service did not live to write down."""
        pid = record.launch.pid
        if pid is None:
            return next(self._unrecorded(record), None)
        return pid if started(pid) == record.process_started else None

    def _unrecorded(self, record: LaunchRecord) -> Iterator[int]:
        marks = [self._mark(record), self._mark(record, "--resume")]
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            except OSError:
                continue
            if words[-2:] in marks and started(int(folder.name)) is not None:
                yield int(folder.name)

    def _mark(self, record: LaunchRecord, flag: str = "--out") -> list[str]:
        """The last arguments of the process, by which it is found again."""
        return [flag, str(self._root / record.run)]

    def _log(self, record: LaunchRecord) -> Path:
        return self._logs / f"{record.run}.log"


def started(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine did; None when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[STARTED])


def _with_process(record: LaunchRecord, pid: int | None) -> LaunchRecord:
    launch = record.launch.model_copy(update={"pid": pid, "submission": None})
    ticks = None if pid is None else started(pid)
    return record.model_copy(update={"launch": launch, "process_started": ticks})
