"""uvicorn around the service."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn

from taskset.errors import InputError
from workers.service.app import build, guarded
from workers.service.hub import Hub
from workers.service.observed import log_to_stderr
from workers.service.settings import Settings

MAX_HEAD = 32 * 1024  # bytes of request line and headers that are read at all
KEEP_SECONDS = 75  # that a connection stays open for the next request of a page or a client
GRACE_SECONDS = 10  # that requests have to end in when the service is asked to


def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises `InputError` when it cannot listen."""
    app = build(settings)
    listening = _listen(settings)
    log_to_stderr()
    config = uvicorn.Config(
        guarded(app),
        h11_max_incomplete_event_size=MAX_HEAD,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_SECONDS,
        server_header=False,
        log_config=None,
        access_log=False,
        ws="none",
    )
    host, port = listening.getsockname()[:2]
    print(f"metaopt serves {settings.root} at http://{host}:{port}", flush=True)
    _Server(config, app.state.backend.hub).run(sockets=[listening])


class _Server(uvicorn.Server):
    """A server that ends its streams before it waits for requests to end."""

    def __init__(self, config: uvicorn.Config, hub: Hub):
        super().__init__(config)
        self._hub = hub

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends of a signal as of any other reason: uvicorn would send it to itself again."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.end()
        await super().shutdown(sockets)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=256)
    except OSError as error:
        raise InputError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "give another --port, or 0 for any free one"
        ) from error
