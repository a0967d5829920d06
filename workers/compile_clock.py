"""How long this process has spent on tracing, lowering and compiling programs."""

import functools
import time

import jax

PREFIX = "/jax/core/compile/"


class CompileClock:
    """Adds up JAX's own reports of its compilations. One is enough for a process: see `clock`."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._last: list[tuple[float, float]] = []  # start and length of reports not yet nested

    @property
    def seconds(self) -> float:
        """Seconds since the clock was made."""
        return self._seconds

    def report(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        """Takes the report of something that ended now; a report within it counts once."""
        del kwargs
        if not event.startswith(PREFIX):
            return
        start = time.monotonic() - duration_secs
        while self._last and self._last[-1][0] >= start:
            self._seconds -= self._last.pop()[1]
        self._last = [*self._last[-7:], (start, duration_secs)]
        self._seconds += duration_secs


@functools.cache
def clock() -> CompileClock:
    """The clock of this process, which runs from the first call on."""
    made = CompileClock()
    jax.monitoring.register_event_duration_secs_listener(made.report)
    return made
