"""How calls reach workers in other processes, and their outcomes come back."""

import abc
from collections.abc import Iterable
from typing import Any, NamedTuple


class Died(NamedTuple):
    """The outcome of a call whose worker is no more."""

    reason: str
    preempted: bool = False  # its machine was taken away, which says nothing about the worker


class Transport(abc.ABC):
    """Processes with a `workers.host.WorkerHost` each, by number, and the calls to them.

    Each has at most one call in flight, and a probe.
    """

    @abc.abstractmethod
    def launch(self, worker: int, spec: bytes = b"", num_gpus: float = 0.0) -> None:
        """Begins to make a process with a `WorkerHost` of these arguments."""

    @abc.abstractmethod
    def submit(self, worker: int, method: str, *arguments: Any) -> None:
        """Sends a call, and never fails: that the worker is dead shows in the outcome.

        `workers.host.PROBE` is sent while another call is in flight, and answered at once.
        """

    @abc.abstractmethod
    def wait(self, timeout: float) -> Iterable[tuple[int, str, Any]]:
        """Outcomes by worker and method, as soon as there is one; none after `timeout` seconds.

        An outcome is what `WorkerHost.call` returned, or `Died`. Those of a worker that was stopped
        while the others were looked at are left out.
        """

    @abc.abstractmethod
    def stop(self, worker: int) -> None:
        """Ends the process at once, dead or alive, and forgets its calls."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends all processes. To close twice is allowed."""
