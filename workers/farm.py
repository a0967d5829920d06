"""Pieces of work that do not depend on each other, on workers that are interchangeable.

The processes are those of the pools, by the same transports. There is nothing to keep in a worker:
one that dies is replaced, and its piece begins anew; one that has grown large is replaced, too.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from ray.cloudpickle import cloudpickle

from workers.host import Raised
from workers.piece import Done, Failed, Piece, attempt
from workers.transport import Died, Transport

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MAX_TRIES = 2  # of a piece whose worker dies, which may be what the piece does to it
MAX_BYTES = 4 * 2**30  # that a worker may hold between pieces


def finished(
    pieces: Sequence[Piece], num_workers: int = 1, address: str | None = None
) -> Iterator[tuple[int, Any]]:
    """Runs all pieces, and yields the index and the outcome of each as soon as it is there.

    An outcome is what the piece returned, or `Failed`. One worker is this process; more have one of
    their own each, on this machine or, with an `address`, on a Ray cluster.
    """
    num_workers = min(num_workers, len(pieces))
    if address is None and num_workers <= 1:
        yield from ((index, attempt(piece)) for index, piece in enumerate(pieces))
        return
    with closing(_transport(num_workers, address)) as transport:
        yield from _Farm(transport, pieces, num_workers).outcomes()


def _transport(num_workers: int, address: str | None) -> Transport:
    if address is None:
        from workers.local import Processes

        return Processes()
    from workers.ray_pool import RayActors

    return RayActors(address, num_workers)


class _Farm:
    """Who is doing what, and what is left."""

    def __init__(self, transport: Transport, pieces: Sequence[Piece], num_workers: int):
        self._transport = transport
        # By value where it has to be: a class may come from a script or a notebook.
        self._pickled = [cloudpickle.dumps(piece) for piece in pieces]
        self._tries = [0] * len(pieces)
        self._left = deque(range(len(pieces)))
        self._doing: dict[int, int] = {}  # the index of the piece, by worker
        for worker in range(num_workers):
            self._transport.launch(worker)
            self._next(worker)

    def outcomes(self) -> Iterator[tuple[int, Any]]:
        while self._doing:
            for worker, _, outcome in self._transport.wait(POLL_SECONDS):
                index = self._doing.pop(worker)
                if isinstance(outcome, Died):
                    yield from self._lose(worker, index, outcome)
                else:
                    yield index, self._result(worker, outcome)
                self._next(worker)

    def _next(self, worker: int) -> None:
        if self._left:
            self._doing[worker] = index = self._left.popleft()
            self._tries[index] += 1
            self._transport.submit(worker, "run", self._pickled[index])

    def _lose(self, worker: int, index: int, died: Died) -> Iterator[tuple[int, Any]]:
        """The piece goes to the front again, for the new process, unless it has had its chances."""
        logger.warning("worker %d is replaced: %s", worker, died.reason)
        self._renew(worker)
        if self._tries[index] < MAX_TRIES or died.preempted:
            self._left.appendleft(index)
        else:
            yield index, Failed(f"its worker died {MAX_TRIES} times: {died.reason}")

    def _result(self, worker: int, outcome: Any) -> Any:
        if isinstance(outcome, Raised):  # it could not even be read
            return Failed(outcome.message.strip().splitlines()[-1])
        assert isinstance(outcome, Done)
        if outcome.memory_bytes > MAX_BYTES:
            self._renew(worker)
        return outcome.outcome

    def _renew(self, worker: int) -> None:
        self._transport.stop(worker)
        self._transport.launch(worker)
