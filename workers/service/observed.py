"""Every request is counted, timed and logged, and has an id; errors that nobody caught end here."""

import contextvars
import json
import logging
import secrets
import sys
import time
from collections.abc import Iterable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metaopt.client.models import State
from workers.service.fleet import Fleet
from workers.service.hub import Hub
from workers.service.problems import Refusal, response
from workers.service.security import address

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
UNEXPECTED = "an error in the service; its log says more"
UNMATCHED = "unmatched"
QUIET = ("/healthz", "/readyz", "/metrics")  # which are asked for all the time, and not logged

logger = logging.getLogger(__name__)
_request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="")


class Measures:
    """The numbers of one service, for Prometheus."""

    def __init__(self, fleet: Fleet, hub: Hub):
        self.registry = CollectorRegistry()
        names = ["method", "route", "status"]
        self.requests = Counter(
            "metaopt_service_requests", "Requests.", names, registry=self.registry
        )
        self.seconds = Histogram(
            "metaopt_service_request_seconds",
            "Until a request was answered; a stream, until it ended.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.registry.register(_Gauges(fleet, hub))

    def text(self) -> bytes:
        """All of them, in Prometheus' format."""
        return prometheus_client.generate_latest(self.registry)


class _Gauges(Collector):
    """What is counted when it is asked for."""

    def __init__(self, fleet: Fleet, hub: Hub):
        self._fleet, self._hub = fleet, hub

    def collect(self) -> Iterable[GaugeMetricFamily]:
        runs = GaugeMetricFamily("metaopt_service_runs", "Runs by state.", labels=["state"])
        summaries = [known.summary for known in self._fleet.runs.values()]
        for state in State:
            runs.add_metric([state], sum(s is not None and s.state is state for s in summaries))
        yield runs
        streams = self._hub.open
        yield GaugeMetricFamily("metaopt_service_streams", "Open streams.", value=streams)
        lag, unread = "metaopt_service_unread_bytes", self._fleet.unread_bytes()
        yield GaugeMetricFamily(lag, "Records that are still to be read.", value=unread)


class Observed:
    """An ASGI application around all the others."""

    def __init__(self, app: ASGIApp, measures: Measures):
        self._app, self._measures = app, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        number, began, status = secrets.token_hex(8), time.perf_counter(), 0
        _request.set(number)

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = number
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception:
            logger.exception("unexpected error")
            if not status:
                await response(Refusal(500, UNEXPECTED))(scope, receive, sent)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", UNMATCHED)
        self._measures.requests.labels(method, route, str(status)).inc()
        self._measures.seconds.labels(route).observe(seconds)
        if route not in QUIET:
            said = {"method": method, "path": scope["path"][:300], "status": status}
            who = {"user": scope.get("state", {}).get("user"), "address": address(scope)}
            logger.info("request", extra={"said": said | who | {"seconds": round(seconds, 6)}})


class JsonLines(logging.Formatter):
    """A log record as a line of JSON. What requests carry in headers is not in it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request": _request.get() or None,
            **getattr(record, "said", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value is not None})


def log_to_stderr() -> None:
    """Sends all logs of this process there."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
