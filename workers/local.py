"""Pools on this machine: in this process, and with one process per worker."""

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from metaopt.aggregate import Dropped, Weights, WorkerResult
from metaopt.learned_optimizers.base import MetaParams
from workers.channel import Channel
from workers.connected import Connected
from workers.environment import worker_environment
from workers.health import STATES, State
from workers.pool import Pool, WorkerView, check_number, check_size
from workers.remote_pool import RemotePool
from workers.transport import Died
from workers.worker import Snapshot, WorkerSpec

EXIT_SECONDS = 10.0  # for a killed process to be gone


class InProcessPool(Pool):
    """Runs its workers one after another in this process. Synchronous."""

    def __init__(self, specs: Sequence[WorkerSpec]):
        self._workers = [spec.build() for spec in specs]
        self._tasks = [spec.task for spec in specs]
        self._results = [0] * len(specs)
        self._number = len(specs)  # of those that take part
        self._weights: Weights | None = None

    @property
    def states(self) -> Mapping[str, int]:
        counts = Counter(self._state(worker) for worker in range(len(self._tasks)))
        return {state: counts[state] for state in STATES}

    def view(self) -> list[WorkerView]:
        return [
            WorkerView(index, task, self._state(index), os.getpid(), self._results[index])
            for index, task in enumerate(self._tasks)
        ]

    def _state(self, worker: int) -> State:
        return "running" if worker < self._number else "released"

    def broadcast(self, weights: Weights) -> None:
        self._weights = weights

    def collect(self) -> Sequence[WorkerResult]:
        if self._weights is None:
            raise RuntimeError("collect() before broadcast(): the workers have no weights yet")
        return [self._compute(worker, self._weights) for worker in range(self._number)]

    def _compute(self, worker: int, weights: Weights) -> WorkerResult:
        result = self._workers[worker].compute(weights)
        self._tasks[worker] = result.task
        self._results[worker] += 1
        return result

    def lost(self) -> Sequence[Dropped]:
        return ()

    def snapshot(self) -> list[Snapshot]:
        return [worker.snapshot() for worker in self._workers]

    def restore(self, snapshots: Sequence[Snapshot], meta_params: MetaParams) -> None:
        check_number(snapshots, len(self._workers))
        for worker, snapshot in zip(self._workers, snapshots, strict=True):
            worker.restore(snapshot, meta_params)

    def resize(self, number: int) -> None:
        check_size(number, len(self._workers))
        self._number = number

    def close(self) -> None:
        self._workers = []


class Processes(Connected):
    """Processes of this machine, on the CPU. Nothing is forked, so JAX may run here already.

    They are of their own session: Ctrl-C reaches only this one, which ends the others when it is
    done. They end by themselves when this process is gone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def launch(self, worker: int, spec: bytes = b"", num_gpus: float = 0.0) -> None:
        del num_gpus  # there are none
        ours, theirs = socket.socketpair()
        with (
            theirs
        ):  # here it has to be closed, or the end of the process would not end the channel
            code = f"from workers.host import serve_process; serve_process({theirs.fileno()})"
            self._processes[worker] = subprocess.Popen(
                [sys.executable, "-c", code],
                env=os.environ | worker_environment() | {"PYTHONPATH": os.pathsep.join(sys.path)},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._connect(worker, Channel(ours))
        self._send(worker, spec)

    def stop(self, worker: int) -> None:
        super().stop(worker)
        if process := self._processes.pop(worker, None):
            process.kill()
            process.wait(EXIT_SECONDS)

    def close(self) -> None:
        for worker in list(self._processes):
            self.stop(worker)
        super().close()

    def _broke(self, worker: int, why: str) -> None:
        process = self._processes[worker]
        process.kill()  # it may have closed its socket, or sent nonsense, and hang
        status = process.wait(EXIT_SECONDS)
        self._died(worker, Died(f"process {process.pid} ended with {status}; {why}".rstrip("; ")))


class ProcessPool(RemotePool):
    """One process per worker, on the CPU: see `Processes`."""

    def __init__(self, specs: Sequence[WorkerSpec], asynchronous: bool = False, **options: Any):
        """As `RemotePool` says."""
        super().__init__(Processes(), specs, asynchronous, **options)
