"""A process beside the service that knows JAX, so that the service itself need not.

It answers one question at a time: what a configuration comes to, what a task looks like. One that
takes too long, or too much memory, costs the service nothing but another process.
"""

import logging
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, ParamSpec, TypeVar

from taskset.errors import InputError
from workers.service.problems import Refusal

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_SECONDS = 60.0  # with the import of JAX, on a machine with much else to do
MAX_WAITING = 16
END_SECONDS = 5.0


class Failed(NamedTuple):
    """The answer to a question that cannot be answered."""

    error: InputError


class Desk:
    """Starts its process with the first question. Used by any number of threads."""

    def __init__(self, seconds: float = ANSWER_SECONDS):
        self._seconds = seconds
        self._answering = threading.Lock()
        self._places = threading.BoundedSemaphore(MAX_WAITING)
        self._process: Any = None
        self._pipe: Connection | None = None

    def ask(self, question: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """What the function `question`, of some module, returns there.

        Raises the `InputError` that it raises, and `Refusal` when there is no answer.
        """
        if not self._places.acquire(blocking=False):
            raise Refusal(503, "too many ask at once; try again", headers={"retry-after": "2"})
        try:
            with self._answering:
                answer = self._answer((question, arguments, named))
        finally:
            self._places.release()
        if isinstance(answer, Failed):
            raise answer.error
        return answer

    def close(self) -> None:
        """Ends the process."""
        with self._answering:
            self._end()

    def _answer(self, question: Any) -> Any:
        if self._process is None or not self._process.is_alive():
            self._end()
            self._begin()
        assert self._pipe is not None
        try:
            self._pipe.send(question)
            if self._pipe.poll(self._seconds):
                return self._pipe.recv()
        except (EOFError, OSError):
            self._end()
            raise Refusal(422, "computing this took more memory than there is") from None
        self._end()
        raise Refusal(503, f"computing this takes more than {self._seconds:g} s")

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would take locks of threads along
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join(END_SECONDS)
        self._process = self._pipe = None


def _serve(pipe: Connection) -> None:
    """Answers until the service is gone."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends this
    import jax

    jax.config.update("jax_platforms", "cpu")  # accelerators are for runs
    while True:
        try:
            question, arguments, named = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer = question(*arguments, **named)
        except InputError as error:
            answer = Failed(error)
        except Exception as error:
            logger.exception("no answer to %s", question.__name__)
            said = " ".join(str(error).split())[:300]
            answer = Failed(InputError(f"this cannot be computed: {type(error).__name__}: {said}"))
        pipe.send(answer)
