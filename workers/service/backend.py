"""What requests have to do with, and how their functions get at it."""

import dataclasses
from typing import Annotated, cast

from fastapi import Depends, Path, Request
from fastapi.concurrency import run_in_threadpool

from metaopt.client.models import NAME
from workers.service.archives import Archives
from workers.service.audit import Audit
from workers.service.control import Control
from workers.service.desk import Desk
from workers.service.fleet import Fleet
from workers.service.hub import Hub
from workers.service.ingest import Ingest
from workers.service.observed import Measures
from workers.service.plans import Plans
from workers.service.settings import Settings
from workers.service.store import Store


@dataclasses.dataclass(frozen=True)
class Backend:
    """The parts of a service."""

    settings: Settings
    store: Store
    fleet: Fleet
    audit: Audit
    ingest: Ingest
    hub: Hub
    measures: Measures
    desk: Desk
    control: Control
    plans: Plans
    archives: Archives


async def _backend(request: Request) -> Backend:
    return cast(Backend, request.app.state.backend)


async def _user(request: Request) -> str:
    return request.state.user


Parts = Annotated[Backend, Depends(_backend)]
User = Annotated[str, Depends(_user)]  # who asks
RunName = Annotated[str, Path(pattern=NAME)]


async def _existing(run: RunName, parts: Parts) -> str:
    if not parts.fleet.has_seen(run) and await run_in_threadpool(parts.store.has, run):
        await run_in_threadpool(parts.fleet.rounds.another, run)  # it has only just begun
    parts.fleet.known(run)
    return run


ExistingRun = Annotated[str, Depends(_existing)]  # of the path; 404 when there is none
