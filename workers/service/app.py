"""The service: its parts, put together."""

import contextlib
import hashlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from workers.service import changes, offers, page_files, problems, reads
from workers.service.archives import Archives
from workers.service.audit import Audit
from workers.service.backend import Backend
from workers.service.control import Control
from workers.service.desk import Desk
from workers.service.files import open_root
from workers.service.fleet import Fleet
from workers.service.launcher import Launcher, LauncherLiveness
from workers.service.launches import Launches
from workers.service.liveness import LocalLiveness
from workers.service.plans import Plans
from workers.service.processes import ProcessLauncher
from workers.service.ray_jobs import RayLauncher
from workers.service.security import Guard
from workers.service.settings import Settings
from workers.service.store import Store

INDEXES = Path.home() / ".cache" / "metaopt" / "service"


def build(
    settings: Settings, launcher: Launcher | None = None, desk: Desk | None = None
) -> FastAPI:
    """The service as an ASGI application; its `state.backend` is what requests have to do with.

    `launcher` starts runs; by default the one that `settings` names. Raises `InputError` when the
    root cannot be opened.
    """
    store = Store(open_root(settings.root))
    index = settings.index or default_index(settings.root)
    app = FastAPI(
        title="metaopt",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    launcher = launcher or choose_launcher(settings)
    local = LocalLiveness(store.files)
    fleet = Fleet(store, LauncherLiveness(launcher, Launches(Path(settings.root)), local))
    desk = desk or Desk()
    app.state.backend = Backend(
        settings=settings,
        store=store,
        fleet=fleet,
        audit=Audit(settings.root, index),
        desk=desk,
        control=Control(settings, store, fleet, launcher, desk),
        plans=Plans(price=settings.price, currency=settings.currency),
        archives=Archives(settings.root),
    )
    for part in (reads, offers, changes):
        app.include_router(part.router)
    page_files.install(app)
    problems.install(app)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Has the desk ready before it is asked, and ends it."""
    backend: Backend = app.state.backend
    threading.Thread(target=backend.control.prepare, daemon=True).start()
    yield
    backend.desk.close()


def choose_launcher(settings: Settings) -> Launcher:
    """The launcher that `settings` names."""
    if settings.launcher == "ray":
        return RayLauncher(settings.root, settings.ray_address)
    return ProcessLauncher(Path(settings.root))


def guarded(app: FastAPI) -> ASGIApp:
    """`app` behind its guard: what a server runs."""
    return Guard(app, app.state.backend.settings)


def default_index(root: str) -> Path:
    """Where the index of `root` is, on this machine's disk."""
    place = root if "://" in root else str(Path(root).resolve())
    return INDEXES / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.sqlite"
