"""Whether the process of a run is there."""

import fcntl
import functools
import os
import platform
from pathlib import Path
from typing import Protocol

from metaopt.client.models import Launch
from workers.run_status import RunStatus
from workers.service.files import Files, LocalFiles
from workers.service.states import Look

LOCK = ".lock"  # in a run folder, held by who trains there
SLACK = 2.0  # seconds that clocks of processes and of files differ by


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
            here = bool(status.pid) and status.host == platform.node()
            return Look(is_running(status.pid, status.began) if here else None, held)
        if launch and launch.pid:
            return Look(is_running(launch.pid, launch.at.timestamp()), held)
        return Look(None, held)


def is_running(pid: int, by: float) -> bool:
    """Whether process `pid` runs that was there at `by`, seconds since 1970, and is no zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except FileNotFoundError:
        return False if Path("/proc/stat").exists() else _answers(pid)
    except OSError:
        return _answers(pid)
    state, ticks = fields[0], int(fields[19])
    started = _boot_time() + ticks / os.sysconf("SC_CLK_TCK")
    return state not in "ZX" and started <= by + SLACK


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
