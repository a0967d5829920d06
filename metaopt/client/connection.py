"""Requests to the service: with an end to waiting, and one kind of error."""

import os
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import requests
from pydantic import BaseModel, ValidationError
from requests.auth import AuthBase

from metaopt.client.models import Problem
from taskset.errors import InputError

TOKEN_VARIABLE = "METAOPT_SERVICE_TOKEN"
TRIES = 3  # of a request that may be made twice
PAUSE_SECONDS = 0.5  # before it is made again; longer each time
UNAVAILABLE = (429, 503)

M = TypeVar("M", bound=BaseModel)


class ServiceError(InputError):
    """What the service, or the way to it, has to say: one line.

    `status` is that of HTTP, and None where there was no answer; `errors` are one line for each
    thing that is wrong with the request.
    """

    def __init__(self, message: str, status: int | None = None, errors: tuple[str, ...] = ()):
        super().__init__(message)
        self.status, self.errors = status, errors


class Connection:
    """The way to one service. Not for several threads at once."""

    def __init__(self, url: str, token: str | None = None, seconds: float = 60.0):
        """`token` is by default that of METAOPT_SERVICE_TOKEN; `seconds` are for each answer."""
        if not url.startswith(("http://", "https://")):
            raise ServiceError(f"{url!r} is no URL of a service; give one as http://127.0.0.1:8700")
        self.url, self._seconds = url.rstrip("/"), seconds
        self._session = requests.Session()
        self._session.auth = _Bearer(token or os.environ.get(TOKEN_VARIABLE))

    def get(self, path: str, model: type[M], **asked: Any) -> M:
        """The answer to a question. Raises `ServiceError`."""
        return _parsed(self._answer("GET", path, params=asked, may_repeat=True), model)

    def post(
        self,
        path: str,
        model: type[M],
        body: BaseModel | None = None,
        headers: Mapping[str, str] = {},
        seconds: float | None = None,
    ) -> M:
        """The answer to a change; it is asked for again only with an Idempotency-Key."""
        sent = {} if body is None else body.model_dump(mode="json", exclude_none=True)
        answer = self._answer(
            "POST",
            path,
            json=sent,
            headers=dict(headers),
            may_repeat="Idempotency-Key" in headers,
            seconds=seconds,
        )
        return _parsed(answer, model)

    def opened(
        self,
        path: str,
        seconds: float | None = None,
        headers: Mapping[str, str] = {},
        **asked: Any,
    ) -> requests.Response:
        """The answer before it is read, to read it in parts; whoever asks closes it."""
        return self._answer(
            "GET", path, params=asked, headers=dict(headers), stream=True, seconds=seconds
        )

    def _answer(
        self,
        method: str,
        path: str,
        may_repeat: bool = False,
        seconds: float | None = None,
        **given: Any,
    ) -> requests.Response:
        for left in reversed(range(TRIES if may_repeat else 1)):
            try:
                answer = self._session.request(
                    method,
                    f"{self.url}/v1/{path}",
                    timeout=seconds or self._seconds,
                    allow_redirects=False,  # a token goes to no other place
                    **given,
                )
                if answer.status_code < 300:
                    return answer
                failure = _refusal(answer)
            except requests.RequestException as error:
                failure = ServiceError(f"no service answers at {self.url}: {_reason(error)}")
            if not left or failure.status not in (None, *UNAVAILABLE):
                raise failure
            time.sleep(PAUSE_SECONDS * (TRIES - left))
        raise AssertionError("unreachable")


def checked(model: type[M], **values: Any) -> M:
    """A body to send. Raises `ServiceError` for values that the service would refuse."""
    try:
        return model(**values)
    except ValidationError as error:
        raise ServiceError(_first(error)) from error


class _Bearer(AuthBase):
    """The token as a header; also keeps `requests` from what a .netrc says."""

    def __init__(self, token: str | None):
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _refusal(answer: requests.Response) -> ServiceError:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        said = f"{answer.status_code} {answer.reason}"
        return ServiceError(f"the service answers {said}", answer.status_code)
    hint = f"; set {TOKEN_VARIABLE}" if problem.status == 401 else ""
    return ServiceError(f"{problem.detail}{hint}", problem.status, tuple(problem.errors))


def _parsed(answer: requests.Response, model: type[M]) -> M:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        raise ServiceError(
            f"the service answers what this version does not know: {_first(error)}"
        ) from error


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "it takes too long"
    return "is `metaopt serve` running there?"
