"""Whether the service is well, for whoever keeps it running."""

from fastapi import APIRouter, Response

from workers.service.backend import Parts
from workers.service.observed import CONTENT_TYPE
from workers.service.problems import Refusal

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether it answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(parts: Parts) -> dict[str, str]:
    """Whether it knows all runs, and can read their folders."""
    if parts.hub.ending:
        raise Refusal(503, "the service ends")
    if parts.ingest.is_blind:
        raise Refusal(503, "the run folders cannot be read")
    if not parts.ingest.is_ready:
        raise Refusal(503, f"{parts.fleet.unread_bytes()} bytes of records are still to be read")
    return {"status": "ready"}


@router.get("/metrics")
def metrics(parts: Parts) -> Response:
    """Numbers for Prometheus."""
    return Response(parts.measures.text(), media_type=CONTENT_TYPE)
