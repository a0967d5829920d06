"""Whether the process of a run is there."""

import fcntl
import functools
import os
import platform
from pathlib import Path
from typing import Protocol

from metaopt.client.models import Launch
from workers.run_status import LOCK, RunStatus
from workers.service.files import Files, LocalFiles
from workers.service.states import Look

SLACK = 2.0  # seconds that clocks of processes and of files differ by
STATE, STARTED = 0, 19  # indices in /proc/PID/stat, after the name
DEAD = ("Z", "X")


class Liveness(Protocol):
    """Who knows of the processes or jobs of runs."""

    def look(self, run: str, status: RunStatus | None, launch: Launch | None) -> Look:
        """What can be seen of the run now. Does not raise."""
        ...


class LocalLiveness:
    """By processes of this machine, and by the locks of folders on it."""

    def __init__(self, files: Files):
        self._root = files.root if isinstance(files, LocalFiles) else None

    def look(self, run: str, status: RunStatus | None, launch: Launch | None) -> Look:
        held = self._root is not None and is_held(self._root / run / LOCK)
        if status and (launch is None or status.began >= launch.at.timestamp()):
            return Look(runs_here(status), held)
        if launch and launch.pid:
            return Look(is_running(launch.pid, launch.at.timestamp()), held)
        return Look(None, held)


def runs_here(status: RunStatus) -> bool | None:
    """Whether the process of a run is there; None when it is of another machine."""
    if not status.pid or status.host != platform.node():
        return None
    return is_running(status.pid, status.began)


def started(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine did; None when it has ended."""
    try:
        fields = _stat(pid)
    except OSError:
        return None
    return None if fields[STATE] in DEAD else int(fields[STARTED])


def is_running(pid: int, by: float) -> bool:
    """Whether process `pid` runs that was there at `by`, seconds since 1970, and is no zombie."""
    try:
        fields = _stat(pid)
    except FileNotFoundError:
        return False if Path("/proc/stat").exists() else _answers(pid)
    except OSError:
        return _answers(pid)
    began = _boot_time() + int(fields[STARTED]) / os.sysconf("SC_CLK_TCK")
    return fields[STATE] not in DEAD and began <= by + SLACK


def is_held(lock: Path) -> bool:
    """Whether a process holds the lock; never takes it, not even for a moment."""
    try:
        found = lock.lstat()
        table = Path("/proc/locks").read_text(encoding="utf-8")
    except FileNotFoundError:
        return lock.exists() and not Path("/proc").exists() and _is_taken(lock)
    except OSError:
        return False
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    lines = [line.split() for line in table.splitlines()]
    return any("FLOCK" in words and device in words for words in lines)


def _is_taken(lock: Path) -> bool:
    """The same where there is no table of locks: takes it for an instant."""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
    return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may have anything in it."""
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@functools.cache
def _boot_time() -> float:
    lines = Path("/proc/stat").read_text(encoding="utf-8").splitlines()
    return float(next(line for line in lines if line.startswith("btime")).split()[1])
