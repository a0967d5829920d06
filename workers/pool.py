"""What a pool of workers is."""

import abc
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from metaopt.aggregate import Dropped, Weights, WorkerResult
from metaopt.learned_optimizers.base import MetaParams
from taskset.errors import InputError
from workers.health import State
from workers.worker import Snapshot


class WorkerView(NamedTuple):
    """A worker as the pool sees it now; its fields are those of `metaopt.client.models.Worker`."""

    worker: int
    task: str  # of its last result
    state: State
    pid: int | None  # of its process, once that has started
    results: int  # estimates that it gave
    failures: int = 0  # in a row
    seconds: float | None = None  # of a typical estimate, in its present process
    busy_seconds: float | None = None  # with the present call
    lost: Mapping[str, int] = {}  # estimates, by cause


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
    def states(self) -> Mapping[str, int]:
        """How many workers are in each of `workers.health.STATES`."""

    @abc.abstractmethod
    def view(self) -> list[WorkerView]:
        """All workers, by index. May be asked for from another thread, while the pool is busy."""

    @property
    def alive(self) -> int:
        """How many workers are there to compute; the others are not there yet, or not any more."""
        return self.states["running"] + self.states["suspect"]

    @abc.abstractmethod
    def resize(self, number: int) -> None:
        """Goes on with the first `number` workers; the others are released until they are wanted.

        What a released worker was computing counts as lost. Raises `InputError` unless there are so
        many workers, and one at least.
        """

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


def check_size(number: int, num_workers: int) -> None:
    """Raises `InputError` unless a pool of `num_workers` can go on with `number`."""
    if not 1 <= number <= num_workers:
        raise InputError(
            f"{number} workers are wanted; the run can have from 1 to workers.number, {num_workers}"
        )
