"""Pieces of work that do not depend on each other, on workers that are interchangeable.

The processes are those of the pools, by the same transports. There is nothing to keep in a worker:
one that dies or hangs is replaced, and its piece begins anew; one that has grown large is replaced,
too.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from ray.cloudpickle import cloudpickle

from workers.health import Patience, Seat
from workers.host import PROBE, Raised
from workers.piece import Done, Failed, Piece, attempt
from workers.transport import Died, Transport

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MAX_TRIES = 2  # of a piece whose worker is lost, which may be what the piece does to it
# Pieces differ in length far more than the estimates of a worker do: typical is the longest of the
# last, and what takes an hour more than ten times that is lost. A frozen process shows far earlier.
PATIENCE = Patience(factor=10.0, slack=3600.0, first=4 * 3600.0)
MAX_BYTES = 4 * 2**30  # that a worker may hold between pieces


def finished(
    pieces: Sequence[Piece],
    num_workers: int = 1,
    address: str | None = None,
    patience: Patience = PATIENCE,
) -> Iterator[tuple[int, Any]]:
    """Runs all pieces, and yields the index and the outcome of each as soon as it is there.

    An outcome is what the piece returned, or `Failed`. One worker is this process; more have one of
    their own each, on this machine or, with an `address`, on a Ray cluster. `patience` says when
    one of those hangs.
    """
    num_workers = min(num_workers, len(pieces))
    if address is None and num_workers <= 1:
        yield from ((index, attempt(piece)) for index, piece in enumerate(pieces))
        return
    with closing(_transport(num_workers, address)) as transport:
        yield from _Farm(transport, pieces, num_workers, patience).outcomes()


def _transport(num_workers: int, address: str | None) -> Transport:
    if address is None:
        from workers.local import Processes

        return Processes()
    from workers.ray_pool import RayActors

    return RayActors(address, num_workers)


class _Farm:
    """Who is doing what, for how long, and what is left."""

    def __init__(
        self, transport: Transport, pieces: Sequence[Piece], num_workers: int, patience: Patience
    ):
        self._transport = transport
        # By value where it has to be: a class may come from a script or a notebook.
        self._pickled = [cloudpickle.dumps(piece) for piece in pieces]
        self._tries = [0] * len(pieces)
        self._left = deque(range(len(pieces)))
        self._doing: dict[int, int] = {}  # the index of the piece, by worker
        self._seats = [Seat(patience, typical=max) for _ in range(num_workers)]
        self._processes: set[int] = set()  # the workers that have one
        for worker in range(num_workers):
            self._next(worker)

    def outcomes(self) -> Iterator[tuple[int, Any]]:
        while self._doing:
            for worker, method, outcome in self._transport.wait(POLL_SECONDS):
                if method != PROBE:
                    yield from self._take(worker, outcome)
                elif not isinstance(outcome, Died):  # of a death, the piece tells too
                    self._lives(worker)
            for worker in list(self._doing):
                yield from self._look_after(worker, time.monotonic())

    def _next(self, worker: int) -> None:
        if not self._left:
            return
        method = "run" if worker in self._processes else "start"
        if method == "start":
            self._processes.add(worker)
            self._transport.launch(worker)
            # A process may wait for a core of the cluster: its time begins with a sign of life.
            self._transport.submit(worker, PROBE)
        self._doing[worker] = index = self._left.popleft()
        self._tries[index] += 1
        self._transport.submit(worker, "run", self._pickled[index])
        self._seats[worker].begins(method, 0, time.monotonic())

    def _lives(self, worker: int) -> None:
        seat = self._seats[worker]
        if seat.call and seat.call.method == "start":
            seat.answers()
            seat.begins("run", 0, time.monotonic())
        else:
            seat.shows_life(time.monotonic())

    def _take(self, worker: int, outcome: Any) -> Iterator[tuple[int, Any]]:
        if isinstance(outcome, Died):
            yield from self._lose(worker, outcome)
            return
        seconds = time.monotonic() - self._seats[worker].answers().began
        for seat in self._seats:  # any of them may get the next piece of its kind
            seat.delivers(seconds)
        yield self._doing.pop(worker), self._result(worker, outcome)
        self._next(worker)

    def _look_after(self, worker: int, now: float) -> Iterator[tuple[int, Any]]:
        seat = self._seats[worker]
        if seat.call and seat.is_overdue(now):
            silent = "gave no sign of life" if now > seat.probe_due else "did not end"
            yield from self._lose(worker, Died(f"it {silent} in {now - seat.call.began:.0f} s"))
        elif seat.is_suspected(now):
            self._transport.submit(worker, PROBE)

    def _lose(self, worker: int, died: Died) -> Iterator[tuple[int, Any]]:
        """The piece goes to the front again, for the new process, unless it has had its chances."""
        logger.warning("worker %d is replaced: %s", worker, died.reason)
        index = self._doing.pop(worker)
        self._seats[worker].answers()
        self._end(worker)
        if self._tries[index] < MAX_TRIES or died.preempted:
            self._left.appendleft(index)
        else:
            yield index, Failed(f"its worker was lost {MAX_TRIES} times: {died.reason}")
        self._next(worker)

    def _result(self, worker: int, outcome: Any) -> Any:
        if isinstance(outcome, Raised):  # it could not even be read
            return Failed(outcome.message.strip().splitlines()[-1])
        assert isinstance(outcome, Done)
        if outcome.memory_bytes > MAX_BYTES:
            self._end(worker)
        return outcome.outcome

    def _end(self, worker: int) -> None:
        """Ends its process; it gets a new one with its next piece."""
        self._transport.stop(worker)
        self._processes.discard(worker)
