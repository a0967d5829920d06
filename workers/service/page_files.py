"""The page: static files that need no token, under a policy that lets in nothing from elsewhere."""

from pathlib import Path

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "page"
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "cache-control": "no-cache",  # asks each time whether it changed: a new version is seen at once
}
# Evaluation reports are shown in a document that has an origin of its own and no scripts but ours.
FRAME_HEADERS = {
    "frame.html": {
        "content-security-policy": (
            "sandbox allow-scripts; default-src 'none'; script-src 'self'; "
            "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; base-uri 'none'"
        ),
        "x-frame-options": "SAMEORIGIN",
    },
    "frame.js": {"cross-origin-resource-policy": "cross-origin"},
}


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | FRAME_HEADERS.get(path, {}))
        return response


def install(app: FastAPI) -> None:
    """Serves `/` and `/static/`."""
    app.mount("/static", _Files(directory=FOLDER, check_dir=False), name="page")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(FOLDER / "index.html", headers=HEADERS)
