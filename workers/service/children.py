"""Commands of `metaopt` as processes that have to end soon, one at a time."""

import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from taskset.errors import InputError
from workers.service.problems import Refusal

COMMAND = (sys.executable, "-m", "workers.cli")
SECRETS = ("METAOPT_SERVICE_TOKEN", "METAOPT_SERVICE_TOKENS")  # which no command has a use for
MAX_WAITING = 4
SHARE_OF_MEMORY = 0.5  # of the machine, that one may have
ERROR = "metaopt: error: "
USAGE_ERROR = 2


class Children:
    """At most one runs; a few may wait for it."""

    def __init__(self, seconds: float):
        """`seconds` is how long a command may take."""
        self._seconds = seconds
        self._running = threading.Lock()
        self._places = threading.BoundedSemaphore(1 + MAX_WAITING)

    def output(self, arguments: Sequence[str]) -> str:
        """What `metaopt ARGUMENTS` prints.

        Raises `InputError` with the line of a command that refuses its input, and `Refusal` when it
        fails otherwise, takes too long, or too many others wait.
        """
        if not self._places.acquire(blocking=False):
            raise Refusal(503, "too many ask at once; try again", headers={"retry-after": "10"})
        try:
            with self._running:
                return self._output(arguments)
        finally:
            self._places.release()

    def _output(self, arguments: Sequence[str]) -> str:
        with subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment(),
            start_new_session=True,
        ) as child:
            limit_memory(child.pid)
            try:
                printed, complaint = child.communicate(timeout=self._seconds)
            except subprocess.TimeoutExpired:
                raise Refusal(
                    503, f"this takes more than {self._seconds:g} s; ask for something smaller"
                ) from None
            finally:
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
        if child.returncode == 0:
            return printed
        last = (complaint.strip().splitlines() or [""])[-1]
        if child.returncode == USAGE_ERROR and last.startswith(ERROR):
            raise InputError(last.removeprefix(ERROR))
        raise Refusal(422, f"this cannot be computed: {last[:300] or 'it ran out of memory'}")


def environment() -> dict[str, str]:
    """That of this process without its secrets."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}


def limit_memory(pid: int) -> None:
    """Half of the machine's memory is enough for what only looks."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = int(SHARE_OF_MEMORY * whole)
    resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
