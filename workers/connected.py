"""A transport over a channel to each worker's process."""

import abc
import selectors
from collections import deque
from collections.abc import Iterable
from typing import Any

from workers.channel import Channel
from workers.host import PROBE
from workers.transport import Died, Transport


class Connected(Transport):
    """Calls and outcomes go through a `Channel` to each process.

    How processes come about, and why they ended, is what kinds of it differ in. Calls of a process
    that is not connected yet wait for it.
    """

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._channels: dict[int, Channel] = {}
        self._unsent: dict[int, list[Any]] = {}  # calls of those without a channel
        self._calling: dict[int, str] = {}  # the method in flight, by worker; of probes, none
        self._outcomes = deque[tuple[int, str, Any]]()
        self._dead: dict[int, Died] = {}  # those that were not stopped yet

    @abc.abstractmethod
    def _broke(self, worker: int, why: str) -> None:
        """Takes note that the channel to a worker is gone; `_died` is to follow, now or later."""

    def submit(self, worker: int, method: str, *arguments: Any) -> None:
        if method != PROBE:
            self._calling[worker] = method
        if worker in self._dead:
            self._outcomes.append((worker, method, self._dead[worker]))
        else:
            self._send(worker, (method, arguments))

    def wait(self, timeout: float) -> Iterable[tuple[int, str, Any]]:
        if not self._outcomes:
            self._look(timeout)
        for _ in range(len(self._outcomes)):
            if not self._outcomes:  # the rest were those of a worker that was stopped
                return
            worker, method, outcome = self._outcomes.popleft()
            if method != PROBE and self._calling.pop(worker, None) is None:
                continue  # it died after its last answer: its next call will say so
            yield worker, method, outcome

    def stop(self, worker: int) -> None:
        self._disconnect(worker)
        self._unsent.pop(worker, None)
        self._calling.pop(worker, None)
        self._dead.pop(worker, None)
        self._outcomes = deque(o for o in self._outcomes if o[0] != worker)

    def close(self) -> None:
        for worker in list(self._channels):
            self.stop(worker)
        self._selector.close()

    def _connect(self, worker: int, channel: Channel) -> None:
        """From now on `channel` leads to the worker."""
        self._channels[worker] = channel
        self._selector.register(channel, selectors.EVENT_READ, worker)
        for message in self._unsent.pop(worker, ()):
            self._send(worker, message)

    def _disconnect(self, worker: int) -> None:
        if channel := self._channels.pop(worker, None):
            self._selector.unregister(channel)
            channel.close()

    def _died(self, worker: int, died: Died) -> None:
        """Its call in flight, or else its next one, comes to this."""
        self._dead[worker] = died
        if method := self._calling.get(worker):
            self._outcomes.append((worker, method, died))

    def _look(self, timeout: float) -> None:
        """Sends and receives what can be, once something can or `timeout` seconds are over."""
        for key, events in self._selector.select(timeout):
            self._attend(key.data, key.fileobj, events)

    def _attend(self, worker: Any, connection: Any, events: int) -> None:
        """`worker` and `connection` are as they were registered."""
        if self._channels.get(worker) is not connection:
            return
        try:
            if events & selectors.EVENT_WRITE:
                connection.flush()
                self._watch(worker, connection)
            if events & selectors.EVENT_READ:
                for method, outcome in connection.receive():
                    self._outcomes.append((worker, method, outcome))
        except (OSError, EOFError, ValueError, TypeError) as error:
            self._lose(worker, str(error))

    def _send(self, worker: int, message: Any) -> None:
        if (channel := self._channels.get(worker)) is None:
            self._unsent.setdefault(worker, []).append(message)
            return
        try:
            channel.send(message)
            self._watch(worker, channel)
        except OSError as error:
            self._lose(worker, str(error))

    def _watch(self, worker: int, channel: Channel) -> None:
        """Waits until it can be written to, while there is something to write."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE * channel.is_sending)
        if self._selector.get_key(channel).events != events:
            self._selector.modify(channel, events, worker)

    def _lose(self, worker: int, why: str) -> None:
        self._disconnect(worker)
        self._broke(worker, why)
