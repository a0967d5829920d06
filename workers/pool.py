"""What a pool of workers is, and what all pools of workers in other processes have in common."""

import abc
import collections
import dataclasses
import logging
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from ray.cloudpickle import cloudpickle

from metaopt.aggregate import Cause, Dropped, Weights, WorkerResult
from metaopt.learned_optimizers.base import MetaParams
from taskset.errors import InputError
from workers import wire
from workers.host import Raised
from workers.worker import Snapshot, WorkerSpec

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0  # how often deadlines are looked at
MAX_STARTS = 5  # of one worker without a result between them; then starting it again is no cure


class Pool(abc.ABC):
    """A `metaopt.learner.WorkerPool` that can be saved and resumed, and has to be closed."""

    @abc.abstractmethod
    def broadcast(self, weights: Weights) -> None: ...

    @abc.abstractmethod
    def collect(self) -> Sequence[WorkerResult]: ...

    @abc.abstractmethod
    def lost(self) -> Sequence[Dropped]: ...

    @abc.abstractmethod
    def snapshot(self) -> list[Snapshot]:
        """The states of all workers by index, from which `restore` goes on to the same bits."""

    @abc.abstractmethod
    def restore(self, snapshots: Sequence[Snapshot], meta_params: MetaParams) -> None:
        """Gives each worker its state; of `meta_params` only shapes and dtypes count.

        Raises `InputError` when the states are not those of as many workers with these estimators.
        """

    @property
    @abc.abstractmethod
    def alive(self) -> int:
        """How many workers are there to compute; the others are being started."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the workers. To close twice is allowed."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def check_number(snapshots: Sequence[Snapshot], num_workers: int) -> None:
    """Raises `InputError` unless there is one snapshot for each worker."""
    if len(snapshots) != num_workers:
        raise InputError(
            f"saved were the states of {len(snapshots)} workers, and this run has {num_workers}; "
            f"resume with {len(snapshots)} workers"
        )


@dataclasses.dataclass(frozen=True)
class Deadline:
    """When a worker that does not answer is given up, in seconds. A hang shows in no other way."""

    factor: float = 10.0  # times the median of the worker's estimates so far,
    slack: float = 60.0  # plus this
    first: float = 1200.0  # for its first two estimates, of which one compiles
    start: float = 600.0  # for the workers of a pool to start


class Died(NamedTuple):
    """The outcome of a call whose worker is no more."""

    reason: str


class Call(NamedTuple):
    """What a worker is busy with."""

    method: str  # of `WorkerHost.call`
    outer_step: int  # of the weights when it was made
    due: float  # on the monotonic clock


class RemotePool(Pool):
    """Workers in other processes, each with at most one call in flight.

    A worker that dies, or does not answer in time, is replaced by a new one, which takes part again
    once it has started; its result counts as lost. Implementations carry the calls. Theirs are the
    five methods at the end.
    """

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        asynchronous: bool = False,
        min_results: int = 1,
        deadline: Deadline = Deadline(),
    ):
        """Starts the workers, and does not wait for them.

        An asynchronous pool collects whatever has arrived once it is `min_results`.
        """
        if not 1 <= min_results <= len(specs):
            raise InputError(
                f"min_results is {min_results}; it must be at least 1 and at most the number of "
                f"workers, {len(specs)}"
            )
        self._specs = tuple(specs)
        # By value where it has to be: a class may come from a script or a notebook.
        self._pickled = [cloudpickle.dumps(spec) for spec in specs]
        self._min_results = min_results if asynchronous else len(specs)
        self._deadline = deadline
        self._calls: dict[int, Call] = {}
        self._idle: set[int] = set()
        self._starts: collections.Counter[int] = collections.Counter()  # since the last result
        self._seconds = {worker: collections.deque[float](maxlen=32) for worker in self._workers}
        self._results: list[WorkerResult] = []
        self._lost: list[Dropped] = []
        self._answers: dict[int, Any] = {}
        self._outer_step = 0
        self._weights: Any = None
        self._complete = False  # whether all workers have been there at once
        self.pids: dict[int, int] = {}  # of the workers' processes, by worker
        for worker in self._workers:
            self._start(worker)

    @property
    def alive(self) -> int:
        return sum(worker not in self._starting() for worker in self._workers)

    def broadcast(self, weights: Weights) -> None:
        self._outer_step = weights.outer_step
        self._weights = self._publish(wire.pack(weights))

    def collect(self) -> Sequence[WorkerResult]:
        if self._weights is None:
            raise RuntimeError("collect() before broadcast(): the workers have no weights yet")
        self._await_workers()
        self._ask("compute", {worker: (self._weights,) for worker in self._idle})
        self._receive_until(
            lambda: len(self._results) >= self._min_results or not self._busy("compute")
        )
        results, self._results = self._results, []
        return sorted(results, key=lambda result: result.worker)

    def lost(self) -> Sequence[Dropped]:
        lost, self._lost = self._lost, []
        return lost

    def snapshot(self) -> list[Snapshot]:
        self._await_workers()
        self._receive_until(lambda: not self._busy("compute"))
        answers = self._answer("snapshot", {worker: () for worker in self._idle})
        return [answers.get(worker, {}) for worker in self._workers]

    def restore(self, snapshots: Sequence[Snapshot], meta_params: MetaParams) -> None:
        check_number(snapshots, len(self._specs))
        self._await_workers()
        like = self._publish(wire.pack(meta_params))
        self._answer("restore", {worker: (snapshots[worker], like) for worker in self._idle})

    @property
    def _workers(self) -> range:
        return range(len(self._specs))

    def _busy(self, method: str) -> set[int]:
        return {worker for worker, call in self._calls.items() if call.method == method}

    def _starting(self) -> set[int]:
        return self._busy("start")

    def _await_workers(self) -> None:
        """Waits for all workers the first time, so that a run begins with all; then for any."""
        needed = 1 if self._complete else len(self._specs)
        began = time.monotonic()
        while self.alive < needed:
            if time.monotonic() - began > self._deadline.start:
                raise InputError(
                    f"{self.alive} of {len(self._specs)} workers have started in "
                    f"{self._deadline.start:.0f} s; use fewer workers, or give them more cores"
                )
            self._receive()
        self._complete = True

    def _ask(self, method: str, arguments: dict[int, tuple[Any, ...]]) -> None:
        for worker in sorted(arguments):
            self._idle.discard(worker)
            self._calls[worker] = Call(method, self._outer_step, self._due(worker, method))
            self._submit(worker, method, *arguments[worker])

    def _answer(self, method: str, arguments: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
        self._ask(method, arguments)
        self._receive_until(lambda: not self._busy(method))
        answers, self._answers = self._answers, {}
        for worker, answer in answers.items():
            self._check(worker, answer)
        return answers

    def _due(self, worker: int, method: str) -> float:
        if method == "start":
            return math.inf  # it may wait for a machine, and keeps nobody waiting
        seconds = self._seconds[worker]
        if method != "compute" or len(seconds) < 2:
            return time.monotonic() + self._deadline.first
        typical = statistics.median_low(seconds)  # of two, not the one that compiled
        return time.monotonic() + self._deadline.factor * typical + self._deadline.slack

    def _receive_until(self, done: Callable[[], bool]) -> None:
        while not done():
            self._receive()

    def _receive(self) -> None:
        soonest = min(call.due for call in self._calls.values()) - time.monotonic()
        for worker, outcome in self._wait(min(max(soonest, 0.0), POLL_SECONDS)):
            self._take(worker, outcome)
        now = time.monotonic()
        for worker in [worker for worker, call in self._calls.items() if call.due < now]:
            self._replace(worker, "late", "it did not answer in time")

    def _take(self, worker: int, outcome: Any) -> None:
        if isinstance(outcome, Died):
            self._replace(worker, "lost", outcome.reason)
            return
        method = self._calls.pop(worker).method
        self._idle.add(worker)
        if method in ("snapshot", "restore"):
            self._answers[worker] = outcome
            return
        self._check(worker, outcome)
        if method == "start":
            self.pids[worker] = outcome
            logger.info("worker %d (%s) is process %d", worker, self._specs[worker].task, outcome)
        else:
            result: WorkerResult = wire.unpack(outcome)
            self._results.append(result)
            self._seconds[worker].append(result.seconds)
            self._starts[worker] = 0

    def _check(self, worker: int, outcome: Any) -> None:
        """Raises what the worker raised: that would happen to its replacement too."""
        if not isinstance(outcome, Raised):
            return
        if outcome.is_input_error:
            raise InputError(outcome.message)
        raise RuntimeError(f"worker {worker} ({self._specs[worker].task}): {outcome.message}")

    def _replace(self, worker: int, cause: Cause, reason: str) -> None:
        call, task = self._calls.pop(worker), self._specs[worker].task
        if call.method == "compute":
            staleness = self._outer_step - call.outer_step
            self._lost.append(Dropped(cause, worker, task, staleness))
        logger.warning("worker %d (%s) is replaced: %s", worker, task, reason)
        self._stop(worker)
        if self._starts[worker] >= MAX_STARTS:
            raise RuntimeError(
                f"worker {worker} ({task}) was started {MAX_STARTS} times and gave no result; "
                f"the last time: {reason}"
            )
        self._start(worker)

    def _start(self, worker: int) -> None:
        self._starts[worker] += 1
        self._seconds[worker].clear()
        self._launch(worker)
        self._ask("start", {worker: ()})

    def _publish(self, packed: wire.Packed) -> Any:
        """What stands for `packed` in the arguments of calls, to be sent to many workers."""
        return packed

    @abc.abstractmethod
    def _launch(self, worker: int) -> None:
        """Begins to make a process with a `WorkerHost`."""

    @abc.abstractmethod
    def _submit(self, worker: int, method: str, *arguments: Any) -> None:
        """Sends a call, and never fails: that the worker is dead shows in the outcome."""

    @abc.abstractmethod
    def _wait(self, timeout: float) -> Iterable[tuple[int, Any]]:
        """Outcomes by worker, as soon as there is one; none when `timeout` seconds have passed.

        An outcome is what `WorkerHost.call` returned, or `Died`.
        """

    @abc.abstractmethod
    def _stop(self, worker: int) -> None:
        """Ends the process at once, dead or alive, and forgets its call."""
