"""A worker in a process of its own: what runs there, whatever connects it to the learner.

This module does not import JAX, so that the environment can still be set when it is imported.
"""

import contextlib
import os
import pickle
import queue
import socket
import threading
import time
import traceback
from typing import Any, NamedTuple, NoReturn

from taskset.errors import InputError
from workers import reception
from workers.channel import Channel
from workers.environment import worker_environment

GRACE_SECONDS = 10.0  # for Ray to end an actor; one that ends itself is a fault, says Ray aloud
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
        compute(Packed Weights)                 -> Packed WorkerResult
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

    def serve_at(self, address: reception.Address, token: bytes) -> NoReturn:
        """Answers the calls of the learner at `address`, who knows this worker by `token`.

        The one call that goes over Ray: it ends with the process. Raises `InputError` when the
        learner cannot be reached.
        """
        serve(reception.reach(address, token), self, GRACE_SECONDS)

    def _start(self, outer_step: int) -> int:
        self._worker = pickle.loads(self._spec).build(outer_step)
        return os.getpid()

    def _probe(self) -> None:
        pass

    def _compute(self, weights: Any) -> Any:
        from workers import seeds, wire

        result = self._worker.compute(wire.unpack(weights))
        return wire.pack(seeds.shortened(result, self._worker.spec.wire))

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


def serve(channel: Channel, host: WorkerHost, grace: float = 0.0) -> NoReturn:
    """Answers the calls that come over `channel`; ends the process `grace` s after it is closed."""
    calls = queue.SimpleQueue[tuple[str, tuple[Any, ...]]]()
    sending = threading.Lock()

    def answer(method: str, arguments: tuple[Any, ...]) -> None:
        outcome = host.call(method, *arguments)
        with sending:
            channel.send_whole((method, outcome))

    def listen() -> None:
        """Passes calls on. Ends the process with the learner, however it ended, in any call."""
        with contextlib.suppress(OSError):
            for call in channel.messages():
                answer(*call) if call[0] == PROBE else calls.put(call)
        time.sleep(grace)
        os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        with contextlib.suppress(ConnectionError):  # whoever listens will end the process
            answer(*calls.get())


def serve_process(file_descriptor: int) -> NoReturn:
    """The whole life of a process at the other end of a socket: a spec first, then calls."""
    channel = Channel(socket.socket(fileno=file_descriptor))
    spec = next(channel.messages())
    serve(channel, WorkerHost(spec))
