"""What changes in runs, for any number of subscribers, made once for all of them.

A subscriber has a position in each of its runs, and at each tick is told what lies between that and
now, in a hundred buckets at most. One that is too slow for a tick is told more with the next: it
loses detail and never a step, and nothing waits for it in a queue. What is the same for several is
made once. The id of every event is the whole of the subscriber's positions, to go on from.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

from workers.service.fleet import Fleet, Sent
from workers.service.known import Known
from workers.service.problems import Refusal
from workers.service.series import all_series, encode
from workers.service.states import OVER

TICK = 0.5  # seconds; so there are at most two events with metrics per second and run
BUCKETS = 100
MAX_RUNS = 50
EVENTS = "."  # in a cursor, before the number of the newest event; no run has that name
_PLACE = re.compile(r"([0-9]{1,16})\.([0-9]{1,16})")


class Place(NamedTuple):
    """Up to where a subscriber was told of a run."""

    epoch: int
    step: int


class Hub:
    """The clock of all streams, and what they have in common."""

    def __init__(self, fleet: Fleet):
        self.fleet, self.open = fleet, 0
        self.ending = False
        self.events: tuple[Sent, ...] = ()  # the newest, at the last tick
        self._ticked = asyncio.Event()
        self._made: dict[tuple, tuple[Place, bytes]] = {}

    async def run(self) -> None:
        """Ticks until it is cancelled."""
        while True:
            await asyncio.sleep(TICK)
            self.tick()

    def end(self) -> None:
        """Ends all streams."""
        self.ending = True
        self.tick()

    async def ticks(self) -> bool:
        """Waits for the next tick; whether streams go on after it."""
        if not self.ending:
            await self._ticked.wait()
        return not self.ending

    def metrics(self, known: Known, names: tuple[str, ...], place: Place) -> tuple[Place, bytes]:
        """What came after `place`, as data of an event; empty when nothing did."""
        key = (known.name, names, place)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = _metrics(known, names, place)
        return made

    def tick(self) -> None:
        """Begins a new round: what is made from now on is of this moment."""
        self._made.clear()
        self.events = tuple(self.fleet.events)
        self._ticked.set()
        self._ticked = asyncio.Event()


def _metrics(known: Known, names: tuple[str, ...], place: Place) -> tuple[Place, bytes]:
    history = known.history
    with history.lock:
        now = Place(history.epoch, history.step)
        if now.epoch != place.epoch or now.step <= place.step:
            return place, b""
        data = {
            "run": known.name,
            "cursor": f"{known.name}={now.epoch}.{now.step}",
            "first": place.step + 1,
            "last": now.step,
            "series": all_series(history, names, place.step + 1, now.step, BUCKETS),
        }
    return now, encode(data)


class Subscriber:
    """One stream."""

    def __init__(self, hub: Hub, runs: Sequence[str], names: Sequence[str]):
        self._hub, self._fleet = hub, hub.fleet
        self._runs, self._names = tuple(dict.fromkeys(runs)), tuple(dict.fromkeys(names))
        self._places: dict[str, Place] = {}
        self._versions: dict[str, int] = {}
        self._event = 0

    def begin(self, cursor: str) -> None:
        """Takes its positions: from `cursor`, or else now. Raises `Refusal` for a bad cursor."""
        places = parse_cursor(cursor)
        assert self._fleet.index is not None
        newest = self._fleet.index.newest_event()
        self._event = min(places.pop(EVENTS, Place(0, newest)).step, newest)
        for run in self._runs:
            history = self._fleet.known(run).history
            with history.lock:
                self._places[run] = places.get(run, Place(history.epoch, history.step))
        if not self._runs:  # who looks at all knows of those that are over from the list
            over = (k for k in self._fleet.runs.values() if k.found and k.found.state in OVER)
            self._versions = {known.name: known.version for known in over}

    def missed_events(self) -> list[Sent]:
        """Events since the position that are in memory no more."""
        index, kept = self._fleet.index, self._hub.events
        oldest = kept[0].number if kept else 2**62
        assert index is not None
        missed = []
        for run in self._runs:
            found = index.events(run, after=self._event, before=oldest, limit=500)
            missed += [Sent(int(e.id), run, e.model_dump_json().encode()) for e in found]
        return sorted(missed)

    def news(self, missed: Iterable[Sent] = ()) -> bytes:
        """All that there is to tell, as it is sent."""
        lines: list[bytes] = []
        for sent in missed:
            self._tell_event(sent, lines)
        for known in self._watched():
            if known.encoded and self._versions.get(known.name) != known.version:
                self._versions[known.name] = known.version
                lines.append(self._event_of("run", known.encoded))
            if known.name in self._places and known.is_loaded:
                self._tell_metrics(known, lines)
        if self._runs:
            for sent in self._new_events():
                self._tell_event(sent, lines)
        return b"".join(lines)

    def _watched(self) -> list[Known]:
        runs = self._fleet.runs
        return [runs[r] for r in self._runs if r in runs] if self._runs else list(runs.values())

    def _tell_metrics(self, known: Known, lines: list[bytes]) -> None:
        place, history = self._places[known.name], known.history
        with history.lock:
            kept = history.rewound_since(place.epoch)
            now = Place(history.epoch, min(place.step, history.step if kept is None else kept))
        if now != place:
            self._places[known.name] = now
            if now.step < place.step:
                data = encode({"run": known.name, "step": now.step})
                lines.append(self._event_of("rewind", data))
        reached, data = self._hub.metrics(known, self._names, now)
        if data:
            self._places[known.name] = reached
            lines.append(self._event_of("metrics", data))

    def _new_events(self) -> list[Sent]:
        new = []
        for sent in reversed(self._hub.events):
            if sent.number <= self._event:
                break
            new.append(sent)
        return new[::-1]

    def _tell_event(self, sent: Sent, lines: list[bytes]) -> None:
        self._event = max(self._event, sent.number)
        if sent.run in self._places:
            lines.append(self._event_of("event", sent.encoded))

    def _event_of(self, kind: str, data: bytes) -> bytes:
        return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), self._cursor(), data)

    def _cursor(self) -> bytes:
        places = [f"{run}={place.epoch}.{place.step}" for run, place in self._places.items()]
        return "&".join([*places, f"{EVENTS}=0.{self._event}"]).encode()


def parse_cursor(cursor: str) -> dict[str, Place]:
    """Positions by run. Raises `Refusal` for what is no cursor."""
    try:
        pairs = (
            parse_qsl(cursor, strict_parsing=True, max_num_fields=MAX_RUNS + 1) if cursor else []
        )
    except ValueError:
        pairs = [("", "")]
    places = {}
    for run, text in pairs:
        place = _PLACE.fullmatch(text)
        if not run or not place:
            raise Refusal(422, "cursor is none that this service gave")
        places[run] = Place(int(place[1]), int(place[2]))
    return places
