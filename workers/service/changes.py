"""Requests that change runs: each is done or refused as a whole, and written down."""

import contextlib
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request, Response

from metaopt.client.models import ResumeRequest, Run, ScaleRequest, StartRequest
from taskset.errors import InputError
from workers.service.backend import ExistingRun, Parts, User
from workers.service.problems import Refusal

router = APIRouter(prefix="/v1/runs")
Action = Literal["start", "stop", "resume", "scale"]
IdempotencyKey = Annotated[
    str | None, Header(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")
]


@router.post("", status_code=201)
def start(
    asked: StartRequest,
    request: Request,
    response: Response,
    parts: Parts,
    user: User,
    idempotency_key: IdempotencyKey = None,
) -> Run:
    """Starts a run; the same request with the same Idempotency-Key gives the same run, and 200."""
    name = asked.name or f"{asked.recipe or asked.clone_of or ''}"
    with _written_down(request, parts, "start", name) as done:
        run, is_new = parts.control.start(asked, user, idempotency_key)
        done.append(run)
    response.status_code = 201 if is_new else 200
    return parts.control.shown(run)


@router.post("/{run}/stop", status_code=202)
def stop(run: ExistingRun, request: Request, parts: Parts) -> Run:
    """Asks a run to end after the outer step in progress, with a checkpoint."""
    with _written_down(request, parts, "stop", run):
        parts.control.stop(run)
    return parts.control.shown(run)


@router.post("/{run}/resume", status_code=202)
def resume(
    run: ExistingRun, asked: ResumeRequest, request: Request, parts: Parts, user: User
) -> Run:
    """Has a run go on from its newest checkpoint."""
    with _written_down(request, parts, "resume", run):
        parts.control.resume(run, asked.num_steps, user)
    return parts.control.shown(run)


@router.post("/{run}/scale", status_code=202)
def scale(run: ExistingRun, asked: ScaleRequest, request: Request, parts: Parts) -> Run:
    """Has a run go on with fewer workers, or with more again."""
    with _written_down(request, parts, "scale", run):
        parts.control.scale(run, asked.workers)
    return parts.control.shown(run)


@contextlib.contextmanager
def _written_down(request: Request, parts: Parts, action: Action, run: str) -> Iterator[list[str]]:
    """Writes to the audit log what came of it; a run that was given a name puts it on the list."""
    named: list[str] = []
    try:
        yield named
    except (Refusal, InputError) as error:
        said = error.detail if isinstance(error, Refusal) else str(error)
        parts.audit.add(request, action, run, said)
        raise
    parts.audit.add(request, action, *(named or [run]))
