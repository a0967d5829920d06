"""Requests that change nothing."""

import importlib.metadata
from typing import Annotated

from fastapi import APIRouter, Query, Request

from metaopt.client.models import AuditPage, Run, RunPage, RunSummary, Service, State
from workers.service.backend import ExistingRun, Parts

router = APIRouter(prefix="/v1")
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=200)]


@router.get("/service")
async def service(request: Request, parts: Parts) -> Service:
    """What this service is and allows. Needs no token."""
    settings = parts.settings
    return Service(
        version=importlib.metadata.version("metaopt"),
        root=settings.root if request.state.user else "",
        launcher=settings.launcher,
        read_only=settings.read_only,
        needs_token=bool(settings.tokens),
        user=request.state.user if settings.tokens else None,
    )


@router.get("/runs")
def runs(
    parts: Parts,
    state: Annotated[list[State], Query()] = [],
    text: Annotated[str, Query(max_length=200)] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> RunPage:
    """Runs, the one that began last first."""
    found = [RunSummary(**_summary(parts.fleet.run(name))) for name in parts.fleet]
    return RunPage(runs=found[:limit], total=len(found))


@router.get("/runs/{run}")
def run(run: ExistingRun, parts: Parts) -> Run:
    """All about a run that is not a curve."""
    found = parts.fleet.run(run)
    has_export = found.kind == "train" and found.checkpoints
    snippet = parts.control.snippet(run, found.config) if has_export else ""
    return found.model_copy(update={"snippet": snippet})


@router.get("/audit")
def audit(parts: Parts, limit: Limit = 100) -> AuditPage:
    """Who asked to change what, the newest first."""
    return AuditPage(entries=list(parts.audit.newest(limit)))


def _summary(run: Run) -> dict:
    return {name: getattr(run, name) for name in RunSummary.model_fields}
