"""What starts runs, ends them, and knows whether they are there."""

import abc
from typing import ClassVar, Literal

from metaopt.client.models import Launch
from workers.run_status import RunStatus
from workers.service.launches import Launches
from workers.service.liveness import LocalLiveness
from workers.service.states import Asked, Look, is_awaited
from workers.service.store import LaunchFile

TAIL_BYTES = 16 * 1024
MAX_LINE = 500


class Unreachable(Exception):
    """What would run it, a cluster, does not answer: one line."""


class Launcher(abc.ABC):
    """Methods take as long as a request over the network; call them in a thread."""

    kind: ClassVar[Literal["process", "ray"]]

    @abc.abstractmethod
    def prepared(self, record: LaunchFile) -> LaunchFile:
        """`record` with what identifies the launch, as far as that is known before it begins."""

    @abc.abstractmethod
    def begin(self, record: LaunchFile, config: str) -> LaunchFile:
        """Starts a run, whose record is written already; returns it with what was started.

        `config` is the text of its configuration. Raises `Unreachable`.
        """

    @abc.abstractmethod
    def go_on(self, record: LaunchFile, num_steps: int | None) -> LaunchFile:
        """The same for a run that goes on from its newest checkpoint."""

    @abc.abstractmethod
    def is_there(self, record: LaunchFile) -> bool | None:
        """Whether what was launched runs, or waits to; None when that cannot be told now."""

    @abc.abstractmethod
    def began(self, record: LaunchFile) -> bool:
        """Whether anything was started for this record, as far as that can be told."""

    @abc.abstractmethod
    def stop(self, record: LaunchFile) -> bool:
        """Asks the run to end with a checkpoint. False when it is not there any more.

        Raises `Unreachable`.
        """

    @abc.abstractmethod
    def log(self, record: LaunchFile) -> str:
        """The end of what the run has printed; empty where it cannot be had."""

    def last_line(self, record: LaunchFile) -> str:
        """The last line that it printed."""
        lines = [line.strip() for line in self.log(record).splitlines() if line.strip()]
        return lines[-1][:MAX_LINE] if lines else ""


class LauncherLiveness:
    """What can be seen of runs by who launched them, where this machine does not see it."""

    def __init__(self, launcher: Launcher, launches: Launches, local: LocalLiveness):
        self._launcher, self._launches, self._local = launcher, launches, local

    def look(self, run: str, status: RunStatus | None, launch: Launch | None) -> Look:
        record = self._launches.read(run) if launch else None
        if record is None or not is_awaited(status, asked_for(record)):
            seen = self._local.look(run, status, None)
            if seen.alive is None and record is not None:
                return seen._replace(alive=self._launcher.is_there(record))
            return seen
        alive = self._launcher.is_there(record)
        last_line = self._launcher.last_line(record) if alive is False else ""
        return self._local.look(run, None, None)._replace(alive=alive, last_line=last_line)


def asked_for(record: LaunchFile) -> Asked:
    """What a launch record says that matters for the state of its run."""
    return Asked(record.asked_at, record.launch.submission, record.cancelled)
