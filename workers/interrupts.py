"""SIGTERM and Ctrl-C as requests to stop between two outer steps."""

import signal
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupts:
    """While entered, the first signal is only remembered; the second raises `KeyboardInterrupt`.

    Enter it after Ray has started, which sets a SIGTERM handler of its own.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        self._previous = {number: signal.signal(number, self._remember) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal stopped: 143 or 130; 0 without one."""
        return 128 + self.received if self.received else 0

    def _remember(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
