"""Requests that change nothing."""

import importlib.metadata
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response

from metaopt.client.models import (
    NAME,
    AuditPage,
    EventPage,
    FamilyProgress,
    Metrics,
    Run,
    RunPage,
    Service,
    State,
    Workers,
)
from workers.service import ranges
from workers.service.backend import Backend, ExistingRun, Parts
from workers.service.problems import Refusal

MAX_NAMES = 30  # of metrics, in one request
MAX_STEP = 2**53
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=200)]
Step = Annotated[int | None, Query(ge=1, le=MAX_STEP)]
MetricName = Annotated[str, Query(min_length=1, max_length=300)]
Number = Annotated[str, Query(pattern=r"^[0-9]{1,18}$")]
Kind = Literal["state", "loss", "validation", "explanation", "rewind"]

router = APIRouter(prefix="/v1")


def json_response(content: bytes) -> Response:
    """What is JSON already."""
    return Response(content, media_type="application/json")


@router.get("/service")
async def service(request: Request, parts: Parts) -> Service:
    """What this service is and allows. Needs no token."""
    settings = parts.settings
    known = request.state.user is not None
    return Service(
        version=importlib.metadata.version("metaopt"),
        root=settings.root if known else "",
        launcher=settings.launcher,
        read_only=settings.read_only,
        needs_token=bool(settings.tokens),
        user=request.state.user if settings.tokens else None,
    )


@router.get("/runs", response_model=RunPage)
async def runs(
    parts: Parts,
    state: Annotated[list[State], Query(max_length=len(State))] = [],
    text: Annotated[str, Query(max_length=200)] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Response:
    """Runs, the one that began last first."""
    return json_response(parts.fleet.page(state, text, cursor, limit))


@router.get("/runs/{run}")
def run(run: ExistingRun, parts: Parts) -> Run:
    """All about a run that is not a curve."""
    found = parts.fleet.run(run)
    has_export = found.kind == "train" and found.checkpoints
    snippet = parts.control.snippet(run, found.config) if has_export else ""
    return found.model_copy(update={"snippet": snippet})


@router.get("/runs/{run}/metrics", response_model=Metrics)
async def metrics(
    run: ExistingRun,
    parts: Parts,
    name: Annotated[list[MetricName], Query(max_length=MAX_NAMES)] = ["meta_loss"],
    first: Step = None,
    last: Step = None,
    points: Annotated[int, Query(ge=10, le=2000)] = 500,
) -> Response:
    """Curves in at most `points` parts; a short stretch of steps exactly. The run's by default."""
    known = parts.fleet.known(run)
    if not known.is_loaded or first is not None:
        return json_response(await run_in_threadpool(_read, parts, run, name, first, last, points))
    return json_response(parts.fleet.metrics(run, name, first, last, points))


def _read(
    parts: Backend, run: str, names: list[str], first: int | None, last: int | None, points: int
) -> bytes:
    """Of curves that are on disk, or of records that may be."""
    history = parts.fleet.known(run).history
    end = min(last or history.step, history.step)
    if first is not None and first <= end and ranges.is_short(history, first, end, points):
        content = ranges.exact(parts.store, run, history, names, first, end)
        if content is not None:
            return content
    return parts.fleet.metrics(run, names, first, last, points)


@router.get("/runs/{run}/events")
def events(
    run: ExistingRun,
    parts: Parts,
    kind: Annotated[list[Kind], Query(max_length=5)] = [],
    after: Number = "0",
    cursor: Number | None = None,
    limit: Limit = 100,
) -> EventPage:
    """What happened besides ordinary outer steps, the newest first; `after` an event's id."""
    before = None if cursor is None else int(cursor)
    return parts.fleet.event_page(run, kind, int(after), before, limit)


@router.get("/runs/{run}/workers")
def workers(run: ExistingRun, parts: Parts) -> Workers:
    """The workers, as the run last said."""
    return parts.store.workers(run) or Workers(at=None, workers=[])


@router.get("/runs/{run}/families")
def families(run: ExistingRun, parts: Parts) -> list[FamilyProgress]:
    """What was learned on each task family."""
    return parts.fleet.families(run)


@router.get("/runs/{run}/evaluations/{suite}/report", response_class=HTMLResponse)
def report(
    run: ExistingRun, suite: Annotated[str, Path(pattern=NAME)], parts: Parts
) -> HTMLResponse:
    """The report of an evaluation: one page, for a sandboxed frame."""
    content = parts.store.report(run, suite)
    if content is None:
        raise Refusal(404, f"run {run!r} has no report on {suite!r}")
    return HTMLResponse(
        content,
        headers={"content-security-policy": REPORT_POLICY, "x-frame-options": "SAMEORIGIN"},
    )


@router.get("/audit")
def audit(parts: Parts, limit: Limit = 100) -> AuditPage:
    """Who asked to change what, the newest first."""
    return AuditPage(entries=list(parts.audit.newest(limit)))
