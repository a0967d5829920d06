"""What starts runs, ends them, and knows whether they are there."""

import abc
import enum
from typing import ClassVar, Literal, NamedTuple

from workers.base_config import BaseConfig
from workers.service.launches import LaunchRecord

TAIL_BYTES = 16 * 1024


class Unreachable(Exception):
    """What runs runs, a cluster, does not answer: one line."""


class Life(enum.Enum):
    """Whether what was launched is there."""

    ALIVE = "alive"
    ENDED = "ended"  # or is gone
    NEVER = "never"  # nothing was started
    UNKNOWN = "unknown"  # what would know does not answer


class Liveness(NamedTuple):
    """What a launcher knows of a launch."""

    life: Life
    said: str = ""  # by whoever knows, in one line


class Launcher(abc.ABC):
    """Methods take as long as a request over the network; call them in a thread."""

    kind: ClassVar[Literal["process", "ray"]]

    @abc.abstractmethod
    def placed(self, settings: BaseConfig) -> BaseConfig:
        """`settings` with its workers where this launcher has them."""

    @abc.abstractmethod
    def prepared(self, record: LaunchRecord) -> LaunchRecord:
        """`record` with what identifies the launch, as far as that is known before it begins."""

    @abc.abstractmethod
    def begin(self, record: LaunchRecord, settings: BaseConfig) -> LaunchRecord:
        """Starts a run, whose record is written already; returns it with what was started.

        Raises `Unreachable`, and `InputError` for what the cluster refuses.
        """

    @abc.abstractmethod
    def go_on(self, record: LaunchRecord, num_steps: int | None) -> LaunchRecord:
        """The same for a run that goes on from its newest checkpoint."""

    @abc.abstractmethod
    def liveness(self, record: LaunchRecord) -> Liveness:
        """Whether what was launched is there. Raises nothing."""

    @abc.abstractmethod
    def stop(self, record: LaunchRecord) -> bool:
        """Asks the run to end with a checkpoint. False when it is not there any more.

        Raises `Unreachable`.
        """

    @abc.abstractmethod
    def log(self, record: LaunchRecord) -> str:
        """The end of what the run has printed; empty where it cannot be had."""

    def last_line(self, record: LaunchRecord) -> str:
        """The last line that the run printed, and which is not empty."""
        lines = [line.strip() for line in self.log(record).splitlines() if line.strip()]
        return lines[-1][:500] if lines else ""
