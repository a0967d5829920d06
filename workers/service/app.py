"""The service: its parts, put together."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from workers.service import operations, page_files, problems, reads, stream
from workers.service.audit import Audit
from workers.service.backend import Backend
from workers.service.description import describe
from workers.service.files import open_root
from workers.service.fleet import Fleet
from workers.service.hub import Hub
from workers.service.ingest import Ingest
from workers.service.liveness import Liveness, LocalLiveness
from workers.service.observed import Measures, Observed
from workers.service.security import Guard
from workers.service.settings import Settings
from workers.service.store import Store

INDEXES = Path.home() / ".cache" / "metaopt" / "service"
PUBLIC_ROUTERS = (reads.router, stream.router, operations.router)


def build(settings: Settings, liveness: Liveness | None = None) -> FastAPI:
    """The service as an application, of which `guarded` is what a server runs.

    Its `state.backend` is what requests have to do with. `liveness` knows of processes; by default
    those of this machine. Raises `InputError` when the root cannot be opened.
    """
    backend = _backend(settings, liveness)
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


def _backend(settings: Settings, liveness: Liveness | None) -> Backend:
    store = Store(open_root(settings.root))
    index = settings.index or default_index(settings.root)
    fleet = Fleet(store)
    liveness = liveness or LocalLiveness(store.files)
    ingest = Ingest(fleet, liveness, index, _place(settings.root), settings.read_only)
    hub, audit = Hub(fleet), Audit(settings.root, index)
    return Backend(settings, store, fleet, audit, ingest, hub, Measures(fleet, hub))


def _place(root: str) -> str:
    return root if "://" in root else str(Path(root).resolve())


@contextlib.asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """The folders are read and the streams tick while the application runs."""
    backend: Backend = app.state.backend
    backend.ingest.start()
    ticking = asyncio.create_task(backend.hub.run())
    try:
        yield
    finally:
        backend.hub.end()
        ticking.cancel()
        await asyncio.to_thread(backend.ingest.stop)
