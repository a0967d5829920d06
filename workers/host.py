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

PROBE = "probe"  # the one method that is answered while another runs


class Raised(NamedTuple):
    """What a call returns in the place of an exception, which might not survive being sent."""

    message: str  # of an `InputError`, or a whole traceback
    is_input_error: bool


class WorkerHost:
    """Holds a worker and answers calls, one at a time; a probe may come besides."""

    def __init__(self, spec: bytes = b"", num_gpus: float = 0.0):
        """`spec` is a pickled `workers.worker.WorkerSpec`, which `start` needs.

        To unpickle it, or a piece of work, imports JAX.
        """
        os.environ.update(worker_environment(num_gpus))
        self._spec = spec
        self._worker: Any = None

    def call(self, method: str, *arguments: Any) -> Any:
        """What `method` returns, or `Raised`.

        start(outer_step) -> int                builds the worker; the id of this process
        probe() -> None                         a sign of life
        compute(Packed Weights)                 -> Packed WorkerResult, as bytes where it is short
        snapshot()                              -> Snapshot
        restore(Snapshot, Packed meta_params)   -> None
        run(pickled Piece)                      -> Done; needs no `start`
        """
        try:
            return getattr(self, f"_{method}")(*arguments)
        except InputError as error:
            return Raised(str(error), is_input_error=True)
        except Exception:
            return Raised(traceback.format_exc(), is_input_error=False)

    def _start(self, outer_step: int) -> int:
        self._worker = pickle.loads(self._spec).build(outer_step)
        return os.getpid()

    def _probe(self) -> None:
        pass

    def _compute(self, weights: Any) -> Any:
        from workers import seeds, wire

        result = self._worker.compute(wire.unpack(weights))
        return wire.encoded(wire.pack(seeds.shortened(result, self._worker.spec.wire)))

    def _snapshot(self) -> Any:
        return self._worker.snapshot()

    def _restore(self, snapshot: Any, meta_params: Any) -> None:
        from workers import wire

        self._worker.restore(snapshot, wire.unpack(meta_params))

    def _run(self, piece: bytes) -> Any:
        from workers import memory
        from workers.piece import Done, attempt

        outcome = attempt(pickle.loads(piece))
        memory.give_back()
        return Done(outcome, memory.resident_bytes())


def serve(file_descriptor: int) -> None:
    """The whole life of a worker's process at the end of a pipe: a spec first, then calls."""
    pipe = Connection(file_descriptor)
    host = WorkerHost(pipe.recv())
    calls = queue.SimpleQueue[tuple[str, tuple[Any, ...]]]()
    sending = threading.Lock()

    def answer(method: str, arguments: tuple[Any, ...]) -> None:
        outcome = host.call(method, *arguments)
        with sending:
            pipe.send((method, outcome))

    def listen() -> None:
        """Passes calls on. Ends the process with the learner, however it ended, in any call."""
        try:
            while True:
                call = pipe.recv()
                answer(*call) if call[0] == PROBE else calls.put(call)
        except (EOFError, ConnectionError):
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        answer(*calls.get())
