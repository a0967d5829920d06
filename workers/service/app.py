"""The service: its parts, put together."""

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from workers.service import (
    changes,
    offers,
    operations,
    page_files,
    problems,
    reads,
    stream,
)
from workers.service.archives import Archives
from workers.service.audit import Audit
from workers.service.backend import Backend
from workers.service.control import Control
from workers.service.description import describe
from workers.service.desk import Desk
from workers.service.files import open_root
from workers.service.fleet import Fleet
from workers.service.hub import Hub
from workers.service.ingest import Ingest
from workers.service.launcher import Launcher, LauncherLiveness
from workers.service.launches import Launches
from workers.service.liveness import LocalLiveness
from workers.service.observed import Measures, Observed
from workers.service.plans import Plans
from workers.service.processes import ProcessLauncher
from workers.service.ray_jobs import RayLauncher
from workers.service.security import Guard
from workers.service.settings import Settings
from workers.service.store import Store

INDEXES = Path.home() / ".cache" / "metaopt" / "service"
PUBLIC_ROUTERS = (reads.router, stream.router, operations.router, offers.router, changes.router)


def build(
    settings: Settings, launcher: Launcher | None = None, desk: Desk | None = None
) -> FastAPI:
    """The service as an application, of which `guarded` is what a server runs.

    Its `state.backend` is what requests have to do with. `launcher` starts runs; by default the one
    that `settings` names. Raises `InputError` when the root cannot be opened.
    """
    backend = _backend(settings, launcher or _launcher(settings), desk or Desk())
    app = FastAPI(
        title="metaopt",
        summary="The runs of a meta-training service.",
        lifespan=_running,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.backend = backend
    for router in PUBLIC_ROUTERS:
        app.include_router(router)
    page_files.install(app)
    problems.install(app)
    describe(app)
    return app


def guarded(app: FastAPI) -> ASGIApp:
    """`app` behind its guard, and all of it observed."""
    backend: Backend = app.state.backend
    return Observed(Guard(app, backend.settings), backend.measures)


def default_index(root: str) -> Path:
    """Where the index of `root` is, on this machine's disk."""
    return INDEXES / f"{hashlib.sha256(_place(root).encode()).hexdigest()[:16]}.sqlite"


def _backend(settings: Settings, launcher: Launcher, desk: Desk) -> Backend:
    store = Store(open_root(settings.root))
    index = settings.index or default_index(settings.root)
    fleet = Fleet(store)
    launches = Launches(Path(settings.root))
    liveness = LauncherLiveness(launcher, launches, LocalLiveness(store.files))
    hub = Hub(fleet)
    return Backend(
        settings=settings,
        store=store,
        fleet=fleet,
        audit=Audit(settings.root, index),
        ingest=Ingest(fleet, liveness, index, _place(settings.root), settings.read_only),
        hub=hub,
        measures=Measures(fleet, hub),
        desk=desk,
        control=Control(settings, fleet, launcher, launches, liveness, desk),
        plans=Plans(price=settings.price, currency=settings.currency),
        archives=Archives(settings.root),
    )


def _launcher(settings: Settings) -> Launcher:
    if settings.launcher == "ray":
        return RayLauncher(settings.root, settings.ray_address)
    return ProcessLauncher(Path(settings.root))


def _place(root: str) -> str:
    return root if "://" in root else str(Path(root).resolve())


@contextlib.asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """The folders are read and the streams tick while the application runs."""
    backend: Backend = app.state.backend
    backend.ingest.start()
    threading.Thread(target=backend.control.prepare, daemon=True).start()
    ticking = asyncio.create_task(backend.hub.run())
    try:
        yield
    finally:
        backend.hub.end()
        ticking.cancel()
        await asyncio.to_thread(backend.ingest.stop)
        await asyncio.to_thread(backend.desk.close)
