"""Runs as processes of this machine, each in a session of its own: they outlive the service."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from workers.service.children import COMMAND, environment
from workers.service.launcher import TAIL_BYTES, Launcher, Unreachable
from workers.service.launches import Launches
from workers.service.liveness import started
from workers.service.store import SERVICE, LaunchFile

LOGS = "logs"
SURE_SECONDS = 30.0  # after which a process that is not there does not come any more


class ProcessLauncher(Launcher):
    """A process is known by its id and when it began, for ids are used again."""

    kind = "process"

    def __init__(self, root: Path):
        self._root = root.absolute()
        self._launches = Launches(self._root)
        self._logs = self._root / SERVICE / LOGS
        self._never: set[tuple[str, float]] = set()  # launches that nothing came of

    def prepared(self, record: LaunchFile) -> LaunchFile:
        return _with_process(record, None)

    def begin(self, record: LaunchFile, config: str) -> LaunchFile:
        del config  # it is in a file
        file = str(self._launches.config(record.run))
        return self._spawn(record, [record.command, "--config", file, *self._mark(record)])

    def go_on(self, record: LaunchFile, num_steps: int | None) -> LaunchFile:
        steps = [] if num_steps is None else ["--learner.num-steps", str(num_steps)]
        return self._spawn(record, [record.command, *steps, *self._mark(record, "--resume")])

    def is_there(self, record: LaunchFile) -> bool:
        return self._pid(record) is not None

    def began(self, record: LaunchFile) -> bool:
        return record.launch.pid is not None or self._unrecorded(record) is not None

    def stop(self, record: LaunchFile) -> bool:
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

    def log(self, record: LaunchFile) -> str:
        try:
            with self._log(record).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _spawn(self, record: LaunchFile, arguments: list[str]) -> LaunchFile:
        try:
            self._logs.mkdir(exist_ok=True)  # beside the launch, which is written already
            with self._log(record).open("ab") as log:
                child = subprocess.Popen(
                    [*COMMAND, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment(),
                    start_new_session=True,
                )
        except OSError as error:
            raise Unreachable(f"no process can be started: {error.strerror}") from error
        known = _with_process(record, child.pid)
        threading.Thread(target=child.wait, daemon=True).start()  # or it would end as a zombie
        return known

    def _pid(self, record: LaunchFile) -> int | None:
        """The process of a launch; also of one that the service did not live to write down."""
        pid = record.launch.pid
        if pid is None:
            return self._unrecorded(record)
        return pid if started(pid) == record.process_started else None

    def _unrecorded(self, record: LaunchFile) -> int | None:
        if (record.run, record.asked_at) in self._never:
            return None
        marks = [self._mark(record), self._mark(record, "--resume")]
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            except OSError:
                continue
            if words[-2:] in marks and started(int(folder.name)) is not None:
                return int(folder.name)
        if time.time() - record.asked_at > SURE_SECONDS:
            self._never.add((record.run, record.asked_at))
        return None

    def _mark(self, record: LaunchFile, flag: str = "--out") -> list[str]:
        """The last arguments of the process, by which it is found again."""
        return [flag, str(self._root / record.run)]

    def _log(self, record: LaunchFile) -> Path:
        return self._logs / f"{record.run}.log"


def _with_process(record: LaunchFile, pid: int | None) -> LaunchFile:
    launch = record.launch.model_copy(update={"pid": pid, "submission": None})
    ticks = None if pid is None else started(pid)
    return record.model_copy(update={"launch": launch, "process_started": ticks})
