"""Every refusal and every error as application/problem+json (RFC 9457)."""

import http
import logging
from collections.abc import Mapping, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from metaopt.client.models import Problem
from taskset.errors import InputError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
MAX_LENGTH = 300  # of what is quoted


class Refusal(Exception):
    """A request that is not done, with the status and the reason that its sender is told."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[str] = (),
        headers: Mapping[str, str] = {},
    ):
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.errors, self.headers = list(errors), dict(headers)


def response(refusal: Refusal) -> Response:
    """What is sent."""
    problem = Problem(
        title=http.HTTPStatus(refusal.status).phrase,
        status=refusal.status,
        detail=refusal.detail,
        errors=refusal.errors,
    )
    return Response(
        problem.model_dump_json(), refusal.status, refusal.headers, media_type=MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Makes `app` answer so, whatever is raised."""

    @app.exception_handler(Refusal)
    def refused(request: Request, error: Refusal) -> Response:
        return response(error)

    @app.exception_handler(InputError)
    def input_error(request: Request, error: InputError) -> Response:
        return response(Refusal(422, " ".join(str(error).split())))

    @app.exception_handler(OSError)
    def unreadable(request: Request, error: OSError) -> Response:
        logger.error("the run folders cannot be read: %s", error)
        return response(Refusal(503, "the run folders cannot be read now"))

    @app.exception_handler(HTTPException)
    def of_framework(request: Request, error: HTTPException) -> Response:
        return response(Refusal(error.status_code, str(error.detail), headers=error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()[:MAX_ERRORS]
        malformed = any(e["type"] == "json_invalid" for e in found)
        lines = [_line(e["loc"], e["msg"]) for e in found]
        detail = "the body is not JSON" if malformed else lines[0] if lines else "invalid"
        return response(Refusal(400 if malformed else 422, detail, lines))

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> Response:
        logger.error("unexpected error", exc_info=error)
        return response(Refusal(500, "an error in the service; its log says more"))


def _line(location: Sequence[str | int], message: str) -> str:
    where = ".".join(str(part) for part in location[1:])[:MAX_LENGTH]
    return f"{where}: {message[:MAX_LENGTH]}" if where else message[:MAX_LENGTH]
