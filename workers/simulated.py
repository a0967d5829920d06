"""A pool of workers that are not there: they answer what, and when, a function says.

It is the pool's own side that runs, with its messages, its deadlines and its book-keeping. So one
machine shows what a learner can take from a thousand workers, and every fault can be brought about.
"""

import heapq
import itertools
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from metaopt.aggregate import WorkerResult
from workers import wire
from workers.host import PROBE
from workers.remote_pool import RemotePool
from workers.transport import Transport
from workers.worker import WorkerSpec


class Reply(NamedTuple):
    """What a simulated worker answers, and after how long."""

    seconds: float
    outcome: Any  # as of `Transport.wait`


# From a worker and the outer step of its weights to the reply; None is silence, for ever, to probes
# too. Its outcomes are packed `WorkerResult`s, `Raised` or `Died`.
Behaviour: TypeAlias = Callable[[int, int], Reply | None]


class Simulation(Transport):
    """Workers that take no process and no core. They start at once, and have no state to save."""

    def __init__(self, behaviour: Behaviour):
        self._behaviour = behaviour
        self._order = itertools.count()  # of events at the same time
        self._coming: list[tuple[float, int, int, str, Any]] = []
        self._silent: set[int] = set()
        self.num_launched = 0

    def launch(self, worker: int, spec: bytes = b"", num_gpus: float = 0.0) -> None:
        del spec, num_gpus
        self.num_launched += 1
        self._silent.discard(worker)

    def submit(self, worker: int, method: str, *arguments: Any) -> None:
        answers = {"start": os.getpid(), "snapshot": {}}
        reply: Reply | None = Reply(0.0, answers.get(method))
        if method == "compute":
            reply = self._behaviour(worker, arguments[0].layout.outer_step)
        if method == PROBE and worker in self._silent:
            return
        if reply is None:
            self._silent.add(worker)
            return
        due = time.monotonic() + reply.seconds
        heapq.heappush(self._coming, (due, next(self._order), worker, method, reply.outcome))

    def wait(self, timeout: float) -> Iterable[tuple[int, str, Any]]:
        soonest = self._coming[0][0] - time.monotonic() if self._coming else timeout
        time.sleep(min(max(soonest, 0.0), timeout))
        now = time.monotonic()
        while self._coming and self._coming[0][0] <= now:
            _, _, worker, method, outcome = heapq.heappop(self._coming)
            yield worker, method, outcome

    def stop(self, worker: int) -> None:
        self._coming = [event for event in self._coming if event[2] != worker]
        heapq.heapify(self._coming)

    def close(self) -> None:
        self._coming = []


class SimulatedPool(RemotePool):
    """A pool of simulated workers."""

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        behaviour: Behaviour,
        asynchronous: bool = False,
        **options: Any,
    ):
        """`options` are as `RemotePool` says."""
        self._simulation = Simulation(behaviour)
        super().__init__(self._simulation, specs, asynchronous, **options)

    @property
    def num_launched(self) -> int:
        """How many workers were started, those in the place of others included."""
        return self._simulation.num_launched


def result_for(packed: wire.Packed, worker: int, outer_step: int, seconds: float) -> wire.Packed:
    """The message `packed`, of a `WorkerResult`, as if `worker` had sent it at `outer_step`.

    The vector is shared: what a simulated worker does not compute costs the learner nothing.
    """
    layout: WorkerResult = packed.layout
    return packed._replace(
        layout=layout._replace(worker=worker, outer_step=outer_step, seconds=seconds)
    )
