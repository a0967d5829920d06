"""Server-sent events, as the service sends them (https://html.spec.whatwg.org, section 9.2)."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Message(NamedTuple):
    """What a stream says."""

    event: str  # "metrics", "run", "rewind" or "event"
    data: Any  # its JSON: for "run" a `RunSummary`, for "event" an `Event`, as dictionaries
    cursor: str  # goes on right after it


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text that comes in parts; the last one, if it is whole."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r").decode("utf-8", "replace") for line in whole)


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The messages of a stream by its lines, without their ends; comments are pings."""
    event, data, cursor = "message", [], ""
    for line in lines:
        if not line:
            if data:
                yield Message(event, json.loads("\n".join(data)), cursor)
            event, data = "message", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            cursor = value
