"""Messages over a socket, one after another and each of them whole.

A message is anything that pickles. Its large buffers go as they are: an array is copied into the
socket from where it lies, and out of it to where it will lie. Both ends must be trusted: whoever
can send a message can run code.
"""

import contextlib
import pickle
import select
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

HEAD = struct.Struct("!IQ")  # how many buffers follow, and the bytes of the pickle
SIZE = struct.Struct("!Q")  # of a buffer
BUFFER_BYTES = 2**22
MAX_BYTES = 2**36  # more can only be nonsense


class Channel:
    """One end of a connection. Nothing waits for the other end, unless it says so.

    One thread may receive while another sends.
    """

    def __init__(self, connection: socket.socket):
        connection.setblocking(False)
        if connection.family == socket.AF_UNIX:  # whose buffer, unlike TCP's, does not grow
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connection = connection
        self._using = threading.Lock()  # of the connection: TLS cannot read and write at once
        self._leaving = deque[memoryview]()
        self._unread = deque[Any]()  # that `messages` has still to give
        self._arriving = _Arriving()

    def fileno(self) -> int:
        """The file descriptor, for selectors."""
        return self._connection.fileno()

    @property
    def is_sending(self) -> bool:
        """Whether some of what was sent still waits for the other end to take it."""
        return bool(self._leaving)

    def send(self, message: Any) -> None:
        """Sends `message`, or as much of it as the other end takes now; `flush` sends on.

        Its buffers must not change before that is done. Raises `OSError` when there is no other end
        any more.
        """
        buffers: list[memoryview] = []
        pickled = pickle.dumps(message, 5, buffer_callback=lambda b: buffers.append(b.raw()))
        sizes = b"".join(SIZE.pack(buffer.nbytes) for buffer in buffers)
        self._leaving.append(memoryview(HEAD.pack(len(buffers), len(pickled)) + sizes + pickled))
        self._leaving.extend(buffer for buffer in buffers if buffer.nbytes)
        self.flush()

    def flush(self) -> None:
        """Sends what waits, as far as the other end takes it. Raises `OSError` as `send` does."""
        while self._leaving:
            try:
                with self._using:
                    sent = self._connection.send(self._leaving[0])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            rest = self._leaving[0][sent:]
            if rest:
                self._leaving[0] = rest
            else:
                self._leaving.popleft()

    def receive(self) -> list[Any]:
        """The messages that are here, in order.

        Raises `EOFError` when none is, and none will come; `OSError` when the connection is broken;
        `ValueError` when what came is no message.
        """
        messages: list[Any] = []
        while True:
            try:
                with self._using:
                    count = self._connection.recv_into(self._arriving.space)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return messages
            if count == 0 and messages:
                return messages  # and next time the end
            if count == 0:
                raise EOFError
            messages += self._arriving.filled(count)

    def send_whole(self, message: Any) -> None:
        """As `send`, and waits until the other end has taken all of it."""
        self.send(message)
        while self.is_sending:
            _wait(self, select.POLLOUT)
            self.flush()

    def messages(self) -> Iterator[Any]:
        """The messages, as they come, until the other end closes. Raises what `receive` raises."""
        with contextlib.suppress(EOFError):
            while True:
                while self._unread:
                    yield self._unread.popleft()
                _wait(self, select.POLLIN)
                self._unread.extend(self.receive())

    def close(self) -> None:
        """Ends the connection. To close twice is allowed."""
        self._connection.close()


def _wait(channel: Channel, event: int) -> None:
    poll = select.poll()
    poll.register(channel, event)
    poll.poll()


class _Arriving:
    """A message of which a part is here."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._sizes: list[int] | None = None  # of the buffers; None before the pickle is here
        self._buffers: list[Any] = []
        self._pickled: Any = b""
        self._num_buffers = -1  # before the head is here
        self._expect(HEAD.size)

    def _expect(self, size: int) -> None:
        if size > MAX_BYTES:
            raise ValueError(f"{size} bytes are announced; a message has at most {MAX_BYTES}")
        self._target: Any = np.empty(size, np.uint8)  # not zeroed, as a bytearray would be
        self.space = memoryview(self._target)

    def filled(self, count: int) -> list[Any]:
        """Takes `count` bytes that were written into `space`; the message, if it is whole now."""
        self.space = self.space[count:]
        while not self.space:
            if self._num_buffers < 0:
                self._num_buffers, size = HEAD.unpack(self._target)
                self._expect(SIZE.size * self._num_buffers + size)
                continue
            if self._sizes is None:
                split = SIZE.size * self._num_buffers
                self._sizes = [size for (size,) in SIZE.iter_unpack(self._target[:split])]
                self._pickled = self._target[split:]
            else:
                self._buffers.append(self._target)
            if len(self._buffers) == len(self._sizes):
                return [self._finished()]
            self._expect(self._sizes[len(self._buffers)])
        return []

    def _finished(self) -> Any:
        pickled, buffers = self._pickled, self._buffers
        self._begin()
        try:
            return pickle.loads(pickled, buffers=buffers)
        except Exception as error:  # whatever those bytes are
            raise ValueError(f"{len(pickled)} bytes are no message: {error}") from error
