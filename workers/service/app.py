"""The service: its parts, put together."""

import hashlib
from pathlib import Path

from fastapi import FastAPI
from starlette.types import ASGIApp

from workers.service import page_files, problems, reads
from workers.service.audit import Audit
from workers.service.backend import Backend
from workers.service.files import open_root
from workers.service.fleet import Fleet
from workers.service.liveness import Liveness, LocalLiveness
from workers.service.security import Guard
from workers.service.settings import Settings
from workers.service.store import Store

INDEXES = Path.home() / ".cache" / "metaopt" / "service"


def build(settings: Settings, liveness: Liveness | None = None) -> FastAPI:
    """The service as an ASGI application; its `state.backend` is what requests have to do with.

    `liveness` knows of processes; by default those of this machine. Raises `InputError` when the
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
    )
    fleet = Fleet(store, liveness or LocalLiveness(store.files))
    app.state.backend = Backend(settings, store, fleet, Audit(settings.root, index))
    app.include_router(reads.router)
    page_files.install(app)
    problems.install(app)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


def guarded(app: FastAPI) -> ASGIApp:
    """`app` behind its guard: what a server runs."""
    return Guard(app, app.state.backend.settings)


def default_index(root: str) -> Path:
    """Where the index of `root` is, on this machine's disk."""
    place = root if "://" in root else str(Path(root).resolve())
    return INDEXES / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.sqlite"
