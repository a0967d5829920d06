"""Who may ask, from where and how much: before anything of the service sees a request."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.service.problems import Refusal, response
from workers.service.settings import Settings

MAX_URL = 8 * 1024  # bytes of path and query
MAX_HEADERS = 16 * 1024
MAX_CALLERS = 10_000  # whose rates are remembered
BURST_SECONDS = 2.0  # of the rate, that may come at once
MIN_BURST = 10.0
FAILURE_RATE = 0.2  # wrong tokens per second, of an address
WITHOUT_TOKEN = ("/", "/healthz", "/readyz", "/v1/service")
PAGE_FILES = "/static/"  # which neither tell nor change anything
CHANGES = ("POST", "PUT", "PATCH", "DELETE")
LOCAL_USER = "local"  # when no token is needed

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Rates:
    """How many requests each caller may still make: a bucket that fills at a constant rate."""

    def __init__(self, rate: float):
        """`rate` are requests per second; 0 for no limit."""
        self._rate, self._burst = rate, max(MIN_BURST, BURST_SECONDS * rate)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # and when that was

    def wait(self, caller: str, now: float, cost: float = 1.0) -> float:
        """Takes `cost` from the caller's bucket; the seconds to wait where that is too much."""
        if not self._rate:
            return 0.0
        left, then = self._left.pop(caller, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        enough = left >= 1.0
        self._left[caller] = (left - cost if enough else left, now)
        if len(self._left) > MAX_CALLERS:
            self._left.popitem(last=False)
        return 0.0 if enough else (1.0 - left) / self._rate


class Guard:
    """An ASGI application that lets through what is allowed, and adds the headers of safety."""

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app, self._settings = app, settings
        self._host_names = settings.host_names
        self._all, self._changes = Rates(settings.rate), Rates(settings.change_rate)
        self._failures = Rates(FAILURE_RATE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        try:
            self._check(scope)
        except Refusal as refusal:
            return await response(refusal)(scope, receive, _with_headers(send))
        limited = _limited(receive, self._settings.max_body)
        return await self._app(scope, limited, _with_headers(send))

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._check_size(scope, headers)
        self._check_host(headers, scope["path"])
        user = self._authenticate(scope, headers)
        scope.setdefault("state", {})["user"] = user
        caller = user if user and self._settings.tokens else address(scope)
        _refuse_if_too_many(self._all.wait(caller, time.monotonic()))
        if scope["method"] in CHANGES:
            self._check_change(headers, caller)

    def _check_size(self, scope: Scope, headers: Headers) -> None:
        url = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
        if url > MAX_URL:
            raise Refusal(414, f"the URL has {url} bytes; at most {MAX_URL} are read")
        size = sum(len(name) + len(value) for name, value in headers.raw)
        if size > MAX_HEADERS:
            raise Refusal(431, f"the headers have {size} bytes; at most {MAX_HEADERS} are read")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(400, "Content-Length is not a number")
        if int(length) > self._settings.max_body:
            raise Refusal(413, _too_long(self._settings.max_body))

    def _check_host(self, headers: Headers, path: str) -> None:
        hosts = headers.getlist("host")
        name = _host_name(hosts[0]) if len(hosts) == 1 else ""
        if not name:
            raise Refusal(400, "the request needs one Host header that names this service")
        if name not in self._host_names:
            raise Refusal(421, "this service does not go by that name; allow it by --allow-host")
        if path.startswith(PAGE_FILES):  # also for the frame of reports, whose origin is none
            return
        for origin in headers.getlist("origin"):
            if urlsplit(origin).netloc.lower() != hosts[0].lower():
                raise Refusal(403, "the request comes from the page of another origin")

    def _authenticate(self, scope: Scope, headers: Headers) -> str | None:
        """The user; None where there is none and none is needed."""
        if not self._settings.tokens:
            return LOCAL_USER
        user = self._user(headers)
        path = scope["path"]
        if user is None and path not in WITHOUT_TOKEN and not path.startswith(PAGE_FILES):
            _refuse_if_too_many(self._failures.wait(address(scope), time.monotonic()))
            challenge = {"www-authenticate": 'Bearer realm="metaopt"'}
            raise Refusal(401, "give a token: Authorization: Bearer TOKEN", headers=challenge)
        return user

    def _user(self, headers: Headers) -> str | None:
        given = headers.getlist("authorization")
        if len(given) != 1:
            return None
        scheme, _, token = given[0].partition(" ")
        return self._settings.user_of(token.strip()) if scheme.lower() == "bearer" else None

    def _check_change(self, headers: Headers, caller: str) -> None:
        if self._settings.read_only:
            raise Refusal(403, "this service was started with --read-only")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refusal(415, "the content type of a change must be application/json")
        _refuse_if_too_many(self._changes.wait(caller, time.monotonic()))


def address(scope: Mapping) -> str:
    """Where a request comes from."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _host_name(host: str) -> str:
    """The name in a Host header, in lower case; empty when there is none."""
    try:
        parts = urlsplit(f"//{host}")
        valid = parts.netloc == host and not parts.username and (parts.port or 1)
        name = (parts.hostname or "") if valid else ""
    except ValueError:
        return ""
    return f"[{name}]" if ":" in name else name


def _refuse_if_too_many(wait: float) -> None:
    if wait:
        headers = {"retry-after": str(int(wait) + 1)}
        raise Refusal(429, "too many requests; wait as long as Retry-After says", headers=headers)


def _limited(receive: Receive, limit: int) -> Receive:
    """`receive` of a body that is not longer than `limit`, whatever its headers say."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:  # of the framework's type, which it lets through where it reads bodies
            raise HTTPException(413, _too_long(limit))
        return message

    return counted


def _too_long(limit: int) -> str:
    return f"the body is too long; at most {limit} bytes are read"


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
