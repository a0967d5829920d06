"""Where workers on other machines come in, with a token that Ray brought them.

A token is for one worker, once. Before it has been said, nothing that a stranger sends is read as
anything else. With RAY_USE_TLS=1, connections are encrypted, and both sides have to show one of
Ray's own certificates: RAY_TLS_SERVER_CERT, RAY_TLS_SERVER_KEY and RAY_TLS_CA_CERT.
"""

import hmac
import os
import secrets
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from taskset.errors import InputError
from workers.channel import Channel

TOKEN_BYTES = 32
GREETING_SECONDS = 10.0  # for a stranger to say the token
MAX_STRANGERS = 256  # at a time; the others wait
CONNECT_SECONDS = 60.0  # for a worker to reach the learner

Address: TypeAlias = tuple[str, int]


class Stranger:
    """A connection that has not said whose it is."""

    def __init__(self, connection: socket.socket):
        self.connection, self.said = connection, b""
        self.due = time.monotonic() + GREETING_SECONDS

    def fileno(self) -> int:
        """The file descriptor, for selectors."""
        return self.connection.fileno()


class Reception:
    """Listens for the workers that are expected."""

    def __init__(
        self,
        host: str,
        selector: selectors.BaseSelector,
        connect: Callable[[int, Channel], None],
    ):
        """Listens at `host`, on any port; `connect` is called with each worker that has come.

        `selector` says when there is something to `attend` to. Raises `InputError` when `host` is
        no address of this machine.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, 0), family=family, backlog=1024)
        except OSError as error:
            raise InputError(
                f"cannot listen for workers at {host}, the address of this machine by Ray: "
                f"{error.strerror}; set RAY_NODE_IP_ADDRESS to one that workers can reach"
            ) from error
        self._listener.setblocking(False)
        self.address: Address = self._listener.getsockname()[:2]
        self._selector, self._connect = selector, connect
        self._tls = _tls(ssl.PROTOCOL_TLS_SERVER)
        self._tokens: dict[int, bytes] = {}
        self._strangers: set[Stranger] = set()
        selector.register(self._listener, selectors.EVENT_READ)

    def expect(self, worker: int) -> bytes:
        """The token of a worker that is to come."""
        self._tokens[worker] = secrets.token_bytes(TOKEN_BYTES)
        return self._tokens[worker]

    def expect_no_more(self, worker: int) -> None:
        """The worker will not come, or should not."""
        self._tokens.pop(worker, None)

    def attend(self, connection: Any) -> bool:
        """Looks after what the selector found. False when it is none of the reception's."""
        if connection is self._listener:
            self._let_in()
        elif isinstance(connection, Stranger):
            self._listen_to(connection)
        else:
            return False
        return True

    def close(self) -> None:
        """Lets nobody in any more."""
        for stranger in list(self._strangers):
            self._turn_away(stranger)
        self._selector.unregister(self._listener)
        self._listener.close()

    def _let_in(self) -> None:
        for stranger in [s for s in self._strangers if s.due < time.monotonic()]:
            self._turn_away(stranger)
        while len(self._strangers) < MAX_STRANGERS:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody is left
                return
            connection.setblocking(False)
            if self._tls:
                connection = self._tls.wrap_socket(
                    connection, server_side=True, do_handshake_on_connect=False
                )
            stranger = Stranger(connection)
            self._strangers.add(stranger)
            self._selector.register(stranger, selectors.EVENT_READ)

    def _listen_to(self, stranger: Stranger) -> None:
        try:
            said = stranger.connection.recv(TOKEN_BYTES - len(stranger.said))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            said = b""
        stranger.said += said
        if said and len(stranger.said) < TOKEN_BYTES:
            return
        for worker, token in self._tokens.items():
            if hmac.compare_digest(token, stranger.said):
                del self._tokens[worker]
                self._leave(stranger)
                self._connect(worker, Channel(stranger.connection))
                return
        self._turn_away(stranger)

    def _leave(self, stranger: Stranger) -> None:
        self._selector.unregister(stranger)
        self._strangers.remove(stranger)

    def _turn_away(self, stranger: Stranger) -> None:
        self._leave(stranger)
        stranger.connection.close()


def reach(address: Address, token: bytes) -> Channel:
    """The channel to the learner at `address`, for the worker with `token`.

    Raises `InputError` when it cannot be reached.
    """
    try:
        connection = socket.create_connection(address, timeout=CONNECT_SECONDS)
        if tls := _tls(ssl.PROTOCOL_TLS_CLIENT):
            connection = tls.wrap_socket(connection)
        connection.sendall(token)
    except OSError as error:
        host, port = address
        raise InputError(
            f"a worker cannot reach the learner at {host}:{port}: {error}; between the machines of "
            "a cluster, all ports must be open"
        ) from error
    return Channel(connection)


def _tls(purpose: Any) -> ssl.SSLContext | None:
    """How to encrypt, where Ray does."""
    if os.environ.get("RAY_USE_TLS", "0").lower() not in ("1", "true"):
        return None
    context = ssl.SSLContext(purpose)
    context.check_hostname = False  # the authority is the cluster's own, and names are addresses
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(os.environ["RAY_TLS_CA_CERT"])
    context.load_cert_chain(os.environ["RAY_TLS_SERVER_CERT"], os.environ["RAY_TLS_SERVER_KEY"])
    return context
