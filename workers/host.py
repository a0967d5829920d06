"""A worker in a process of its own: what runs there, whatever connects it to the learner.

This module does not import JAX, so that the environment can still be set when it is imported.
"""

import os
import pickle
import queue
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from taskset.errors import InputError
from workers.environment import worker_environment


class Raised(NamedTuple):
    """What a call returns in the place of an exception, which might not survive being sent."""

    message: str  # of an `InputError`, or a whole traceback
    is_input_error: bool


class WorkerHost:
    """Holds a worker and answers calls, one at a time."""

    def __init__(self, spec: bytes, num_gpus: float = 0.0):
        """`spec` is a pickled `workers.worker.WorkerSpec`: to unpickle it imports JAX."""
        os.environ.update(worker_environment(num_gpus))
        self._spec = spec
        self._worker: Any = None

    def call(self, method: str, *arguments: Any) -> Any:
        """What `method` returns, or `Raised`.

        start() -> int                          builds the worker; the id of this process
        compute(Packed Weights)                 -> Packed WorkerResult
        snapshot()                              -> Snapshot
        restore(Snapshot, Packed meta_params)   -> None
        """
        try:
            return getattr(self, f"_{method}")(*arguments)
        except InputError as error:
            return Raised(str(error), is_input_error=True)
        except Exception:
            return Raised(traceback.format_exc(), is_input_error=False)

    def _start(self) -> int:
        self._worker = pickle.loads(self._spec).build()
        return os.getpid()

    def _compute(self, weights: Any) -> Any:
        from workers import wire

        return wire.pack(self._worker.compute(wire.unpack(weights)))

    def _snapshot(self) -> Any:
        return self._worker.snapshot()

    def _restore(self, snapshot: Any, meta_params: Any) -> None:
        from workers import wire

        self._worker.restore(snapshot, wire.unpack(meta_params))


def serve(file_descriptor: int) -> None:
    """The whole life of a worker's process at the end of a pipe: a spec first, then calls."""
    pipe = Connection(file_descriptor)
    host = WorkerHost(pipe.recv())
    calls = queue.SimpleQueue[tuple[str, tuple[Any, ...]]]()
    threading.Thread(target=_listen, args=(pipe, calls), daemon=True).start()
    while True:
        method, arguments = calls.get()
        pipe.send(host.call(method, *arguments))


def _listen(pipe: Connection, calls: queue.SimpleQueue[tuple[str, tuple[Any, ...]]]) -> None:
    """Passes calls on. Ends the process with the learner, however that ended, and in any call."""
    try:
        while True:
            calls.put(pipe.recv())
    except (EOFError, ConnectionError):
        os._exit(1)
