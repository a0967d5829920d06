"""What all pools of workers in other processes have in common."""

import contextlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.cloudpickle import cloudpickle

from metaopt.aggregate import Cause, Dropped, Weights, WorkerResult
from metaopt.learned_optimizers.base import MetaParams
from taskset.errors import InputError
from workers import wire
from workers.health import STATES, Patience, Seat, check_hope
from workers.host import PROBE, Raised
from workers.pool import Pool, WorkerView, check_number, check_size
from workers.received import received
from workers.transport import Died, Transport
from workers.worker import Snapshot, WorkerSpec

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5  # how often deadlines are looked at


class RemotePool(Pool):
    """Workers in other processes, each with at most one call in flight, and a probe.

    A worker that dies, raises, gives no sign of life or sends nonsense is replaced by a new one,
    which takes part again once it has started; what it was computing counts as lost, under the
    cause. `workers.health` says when. A transport carries the calls, and makes the processes.
    """

    def __init__(
        self,
        transport: Transport,
        specs: Sequence[WorkerSpec],
        asynchronous: bool = False,
        *,
        min_results: int = 0,
        min_workers: int = 0,
        max_worker_bytes: float = 0,
        patience: Patience = Patience(),
    ):
        """Starts the workers, and does not wait for them.

        `collect` returns once it has `min_results`; 0 is 1 for an asynchronous pool, and all for a
        synchronous one, where fewer leave the slowest behind: theirs come later, and are stale.
        A run begins when `min_workers` are there, by default all; the others join as they come.
        A worker whose process holds more than `max_worker_bytes` goes on in a new process.
        """
        count = len(specs)
        for name, value in (("min_results", min_results), ("min_workers", min_workers)):
            if not 0 <= value <= count:
                raise InputError(
                    f"{name} is {value}; it must be at least 0 and at most the number of workers, "
                    f"{count}"
                )
        self._transport = transport
        self._specs = tuple(specs)
        # By value where it has to be: a class may come from a script or a notebook.
        self._pickled = [cloudpickle.dumps(spec) for spec in specs]
        self._asynchronous = asynchronous
        self._min_results = min_results or (1 if asynchronous else count)
        self._min_workers = min_workers or count
        self._max_worker_bytes = max_worker_bytes
        self._patience = patience
        self._seats = [Seat(patience) for _ in specs]
        self._tasks = [spec.task for spec in specs]  # of their last results
        self._losses: list[Counter[str]] = [Counter() for _ in specs]  # of all, by cause
        self._idle: set[int] = set()
        self._computing: set[int] = set()
        self._results: list[WorkerResult] = []
        self._awaited = 0  # of them, that a step waits for
        self._lost: list[Dropped] = []
        self._answers: dict[int, Any] = {}
        self._moving: dict[int, Snapshot] = {}  # states on their way to a new process, by worker
        self._late: dict[int, Snapshot] = {}  # those that wait for their workers to start
        self._like: Any = None  # meta-parameters, packed, of the shapes that states are for
        self._last_weights: Weights | None = None
        self._weights: Any = None
        self._next_look = 0.0
        self._begun = False
        self.pids: dict[int, int] = {}  # of the workers' processes, by worker
        for worker in range(count):
            self._start(worker)

    @property
    def states(self) -> Mapping[str, int]:
        counts = Counter(seat.state for seat in self._seats)
        return {state: counts[state] for state in STATES}

    def view(self) -> list[WorkerView]:
        now = time.monotonic()
        return [self._view(worker, now) for worker in range(len(self._seats))]

    def _view(self, worker: int, now: float) -> WorkerView:
        seat = self._seats[worker]
        call = seat.call
        return WorkerView(
            worker,
            self._tasks[worker],
            seat.state,
            self.pids.get(worker) if seat.state in ("running", "suspect") else None,
            seat.results,
            seat.failures,
            None if math.isnan(seat.typical) else seat.typical,
            now - call.began if call and call.method == "compute" else None,
            dict(self._losses[worker]),
        )

    @property
    def _outer_step(self) -> int:
        """Of the weights last broadcast; 0 before."""
        return self._last_weights.outer_step if self._last_weights else 0

    @property
    def _meta_params(self) -> MetaParams:
        """Of the weights last broadcast; without them no worker computes."""
        assert self._last_weights is not None
        return self._last_weights.meta_params

    def broadcast(self, weights: Weights) -> None:
        self._last_weights = weights
        if not self._asynchronous:
            self._awaited = 0  # what has come since the last step is of older weights
        self._weights = wire.pack(weights)

    def collect(self) -> Sequence[WorkerResult]:
        if self._weights is None:
            raise RuntimeError("collect() before broadcast(): the workers have no weights yet")
        self._await_workers()
        self._receive_until(  # those that move miss nothing
            lambda: not self._moving or len(self._idle | self._computing) >= self._min_results
        )
        self._ask("compute", {worker: (self._weights,) for worker in self._idle})
        self._receive_until(lambda: self._awaited >= self._min_results or not self._computing)
        self._awaited = 0
        results, self._results = self._results, []
        return sorted(results, key=lambda result: result.worker)

    def lost(self) -> Sequence[Dropped]:
        lost, self._lost = self._lost, []
        return lost

    def snapshot(self) -> list[Snapshot]:
        self._await_workers()
        self._receive_until(lambda: not self._computing and not self._moving)
        answers = self._answer("snapshot", {worker: () for worker in self._idle})
        return [answers.get(w, self._late.get(w, {})) for w in range(len(self._specs))]

    def restore(self, snapshots: Sequence[Snapshot], meta_params: MetaParams) -> None:
        check_number(snapshots, len(self._specs))
        self._like = wire.pack(meta_params)
        self._late = dict(enumerate(snapshots))
        try:
            for worker in list(self._idle):
                self._give_state(worker)
            self._await_workers()  # theirs is given to each as it starts
            self._receive_until(lambda: not self._moving)
        except InputError:
            self._late = {}
            while self._moving:  # what the others say of theirs is not for the next call to hear
                with contextlib.suppress(InputError):
                    self._receive()
            raise

    def resize(self, number: int) -> None:
        check_size(number, len(self._seats))
        for worker, seat in enumerate(self._seats):
            if worker < number and seat.state == "released":
                self._start(worker)
            elif worker >= number and seat.state != "released":
                self._forget(worker, "lost")
                seat.is_left()

    def close(self) -> None:
        self._transport.close()

    def _await_workers(self) -> None:
        """Waits for enough workers the first time; then for any."""
        needed = 1 if self._begun else self._min_workers
        began = time.monotonic()
        while self.alive < needed:
            waited = time.monotonic() - began
            if not self._begun and waited > self._patience.start:
                raise InputError(
                    f"{self.alive} of {needed} workers have started in {waited:.0f} s; use fewer "
                    "workers, or give them more cores"
                )
            self._receive()
        self._begun = True

    def _ask(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> None:
        now = time.monotonic()
        for worker in sorted(arguments):
            self._idle.discard(worker)
            if method == "compute":
                self._computing.add(worker)
            self._seats[worker].begins(method, self._outer_step, now)
            self._transport.submit(worker, method, *arguments[worker])

    def _answer(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """What the workers answer, less those that are lost meanwhile."""
        self._ask(method, arguments)
        self._receive_until(
            lambda: not any(s.call and s.call.method == method for s in self._seats)
        )
        answers, self._answers = self._answers, {}
        for worker, answer in answers.items():
            self._check(worker, answer)
        return answers

    def _receive_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._receive()

    def _receive(self) -> None:
        for worker, method, outcome in self._transport.wait(POLL_SECONDS):
            self._take(worker, method, outcome)
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + POLL_SECONDS
            self._look_after_all(now)

    def _look_after_all(self, now: float) -> None:
        for worker, seat in enumerate(self._seats):
            if seat.until <= now:
                self._start(worker)
            elif seat.is_overdue(now):
                silent = now > seat.probe_due
                reason = "it gives no sign of life" if silent else "it did not answer in time"
                self._replace(worker, "late", reason)
            elif seat.is_suspected(now):
                self._transport.submit(worker, PROBE)

    def _take(self, worker: int, method: str, outcome: Any) -> None:
        died = isinstance(outcome, Died)
        if method == PROBE:  # of a death, the call tells too
            if not died:
                self._seats[worker].shows_life(time.monotonic())
        elif died:
            self._replace(worker, "preempted" if outcome.preempted else "lost", outcome.reason)
        elif method == "snapshot" and worker not in self._moving:
            self._has_answered(worker)
            self._answers[worker] = outcome
        elif isinstance(outcome, Raised):
            self._take_exception(worker, outcome)
        elif method == "compute":
            self._take_result(worker, outcome)
        else:
            self._has_answered(worker)
            self._go_on(worker, method, outcome)

    def _has_answered(self, worker: int) -> None:
        self._seats[worker].answers()
        self._computing.discard(worker)
        self._idle.add(worker)

    def _go_on(self, worker: int, method: str, outcome: Any) -> None:
        """What comes after a step of a worker's way into its process, or into another one."""
        if method == "start":
            self.pids[worker] = outcome
            logger.info("worker %d (%s) is process %d", worker, self._specs[worker].task, outcome)
            self._give_state(worker)
        elif method == "snapshot":
            self._moving[worker] = outcome
            self._transport.stop(worker)
            self._start(worker)
        else:
            del self._moving[worker]

    def _give_state(self, worker: int) -> None:
        """Asks a worker that has started to go on from the state that there is for it, if any."""
        if worker in self._late:
            self._moving[worker] = self._late.pop(worker)
        if worker not in self._moving:
            return
        if self._like is None:
            self._like = wire.pack(self._meta_params)
        self._ask("restore", {worker: (self._moving[worker], self._like)})

    def _take_exception(self, worker: int, raised: Raised) -> None:
        """Ends the run for what would happen to a replacement too."""
        if raised.is_input_error or not self._seats[worker].results:
            self._has_answered(worker)
            self._moving.pop(worker, None)
            self._check(worker, raised)
        self._replace(worker, "raised", raised.message)

    def _check(self, worker: int, outcome: Any) -> None:
        """Raises what the worker raised."""
        if not isinstance(outcome, Raised):
            return
        if outcome.is_input_error:
            raise InputError(outcome.message)
        raise RuntimeError(f"worker {worker} ({self._specs[worker].task}): {outcome.message}")

    def _take_result(self, worker: int, outcome: Any) -> None:
        seat = self._seats[worker]
        assert seat.call is not None
        try:
            result = received(outcome, self._specs[worker], self._meta_params, seat.call.outer_step)
        except ValueError as error:
            self._replace(worker, "malformed", str(error))
            return
        self._has_answered(worker)
        seat.delivers(result.seconds)
        self._tasks[worker] = result.task
        self._results.append(result)
        # One that was left behind is late in a synchronous step, and not in the place of another.
        self._awaited += self._asynchronous or result.outer_step == self._outer_step
        if 0 < self._max_worker_bytes < result.memory_bytes:
            logger.info("worker %d holds %.2g bytes: it moves", worker, result.memory_bytes)
            self._moving[worker] = {}
            self._ask("snapshot", {worker: ()})

    def _replace(self, worker: int, cause: Cause, reason: str) -> None:
        seat = self._seats[worker]
        self._forget(worker, cause)
        seat.answers()
        logger.warning("worker %d (%s) is replaced: %s", worker, self._specs[worker].task, reason)
        if cause != "preempted" and seat.fails(time.monotonic()):
            check_hope(self._seats, self._min_workers, reason)
            logger.warning(
                "worker %d failed %d times in a row: it is in quarantine", worker, seat.failures
            )
        else:
            self._start(worker)

    def _forget(self, worker: int, cause: Cause) -> None:
        """Ends a worker's process, and counts what it was computing."""
        if worker in self._computing:
            call = self._seats[worker].call
            assert call is not None
            staleness = self._outer_step - call.outer_step
            self._losses[worker][cause] += 1
            self._lost.append(Dropped(cause, worker, self._specs[worker].task, staleness))
        self._computing.discard(worker)
        self._idle.discard(worker)
        self._moving.pop(worker, None)
        self._transport.stop(worker)

    def _start(self, worker: int) -> None:
        self._seats[worker].starts()
        spec = self._specs[worker]
        self._transport.launch(worker, self._pickled[worker], spec.num_gpus)
        self._ask("start", {worker: (self._outer_step,)})
