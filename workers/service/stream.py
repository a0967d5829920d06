"""The stream: server-sent events of what a hub has for a subscriber."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from metaopt.client.models import Name
from workers.service.backend import Parts
from workers.service.fleet import Sent
from workers.service.hub import MAX_RUNS, TICK, Hub, Subscriber
from workers.service.problems import Refusal
from workers.service.reads import MAX_NAMES, MetricName

PING = 15.0  # seconds without an event
PHASES = TICK / 2  # over which streams are spread, so that others are answered between them
MAX_STREAMS = 1000
PING_LINE = b": ping\n\n"
LAST_LINES = b"retry: 1000\n: the service ends\n\n"

router = APIRouter(prefix="/v1")


@router.get("/stream", response_class=StreamingResponse)
async def stream(
    parts: Parts,
    run: Annotated[list[Name], Query(max_length=MAX_RUNS)] = [],
    name: Annotated[list[MetricName], Query(max_length=MAX_NAMES)] = ["meta_loss"],
    cursor: Annotated[str, Query(max_length=8000)] = "",
    last_event_id: Annotated[str, Header(max_length=10_000)] = "",
) -> StreamingResponse:
    """What changes in runs, as server-sent events; in all runs' summaries when none is named."""
    hub = parts.hub
    if hub.open >= MAX_STREAMS or hub.ending:
        raise Refusal(503, "no more streams now", headers={"retry-after": "5"})
    subscriber = Subscriber(hub, run, name)
    await run_in_threadpool(subscriber.begin, last_event_id or cursor)
    missed = await run_in_threadpool(subscriber.missed_events)
    return StreamingResponse(_sent(hub, subscriber, missed), media_type="text/event-stream")


async def _sent(hub: Hub, subscriber: Subscriber, missed: list[Sent]) -> AsyncIterator[bytes]:
    hub.open += 1
    try:
        told = time.monotonic()
        yield b": metaopt\n\n" + subscriber.news(missed)
        phase = random.random() * PHASES
        while await hub.ticks():
            await asyncio.sleep(phase)
            news = subscriber.news()
            if not news and time.monotonic() - told > PING:
                news = PING_LINE
            if news:
                yield news
                told = time.monotonic()
        yield LAST_LINES
    finally:
        hub.open -= 1
