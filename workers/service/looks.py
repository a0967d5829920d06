"""Asking who knows whether a run's process is there, who may take long to answer."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NoAnswer

from metaopt.client.models import Launch
from workers.run_status import RunStatus
from workers.service.liveness import Liveness
from workers.service.states import Look

THREADS = 4
GOOD_FOR = 2.0  # seconds
FIRST = 5.0  # seconds that the first answer is waited for


class Looks:
    """The last answers, which are renewed in other threads."""

    def __init__(self, liveness: Liveness):
        self._liveness = liveness
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="liveness")
        self._asked: dict[str, tuple[float, Future[Look]]] = {}
        self._last: dict[str, Look] = {}

    def of(self, run: str, status: RunStatus | None, launch: Launch | None) -> Look:
        """What was seen of the run last. Nothing, when nobody ever answered."""
        at, future = self._asked.get(run, (0.0, None))
        if future is None or (future.done() and time.monotonic() - at > GOOD_FOR):
            future = self._threads.submit(self._liveness.look, run, status, launch)
            self._asked[run] = (time.monotonic(), future)
        try:
            self._last[run] = future.result(0 if run in self._last else FIRST)
        except NoAnswer:
            self._last.setdefault(run, Look())
        return self._last[run]

    def forget(self, run: str) -> None:
        """Asks anew the next time: something was done to the run, or it is gone."""
        self._asked.pop(run, None)
        self._last.pop(run, None)

    def close(self) -> None:
        """Waits for no answer."""
        self._threads.shutdown(wait=False, cancel_futures=True)
