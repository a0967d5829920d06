"""All runs, as they are known at this moment: what requests and streams read."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from metaopt.client.models import Event, EventPage, FamilyProgress, Run, State
from workers.service.index import Index
from workers.service.known import Known
from workers.service.problems import Refusal
from workers.service.series import all_series, encode
from workers.service.store import Store

NEWEST_EVENTS = 10_000  # of all runs, that are kept in memory for streams
PATIENCE = 10.0  # seconds that a round is waited for


class Sent(NamedTuple):
    """An event as it is sent."""

    number: int
    run: str
    encoded: bytes


class Rounds:
    """Rounds over the run folders, which one thread makes and others may ask for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun = self._done = 0
        self._asked: set[str] = set()

    def another(self, run: str) -> None:
        """Waits for one that begins after now and looks at `run`, though not for long."""
        with self._changed:
            self._asked.add(run)
            wanted = self._begun + 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._done >= wanted, PATIENCE)

    def begin(self, wait: float) -> set[str]:
        """Waits until the next is due, `wait` seconds at most; the runs that it was asked for."""
        with self._changed:
            self._changed.wait_for(lambda: self._asked, wait)
            asked, self._asked = self._asked, set()
            self._begun += 1
            return asked

    def end(self) -> None:
        """Says that one is done."""
        with self._changed:
            self._done = self._begun
            self._changed.notify_all()


class Fleet:
    """The runs below a root."""

    def __init__(self, store: Store):
        self.store = store
        self.index: Index | None = None  # there while the service runs
        self.runs: dict[str, Known] = {}  # replaced whole
        self.events: deque[Sent] = deque(maxlen=NEWEST_EVENTS)
        self.rounds = Rounds()

    def __contains__(self, run: str) -> bool:
        return run in self.runs

    def __iter__(self) -> Iterator[str]:
        return iter(self.runs)

    def has_seen(self, run: str) -> bool:
        """Whether anything is known of a run: its folder may be there and not have been read."""
        known = self.runs.get(run)
        return known is not None and known.summary is not None

    def known(self, run: str) -> Known:
        """What is known of a run. Raises `Refusal` when there is none."""
        known = self.runs.get(run)
        if known is None or known.summary is None:
            raise Refusal(404, f"there is no run {run!r}")
        return known

    def page(
        self,
        states: Sequence[State] = (),
        text: str = "",
        cursor: str | None = None,
        limit: int = 50,
    ) -> bytes:
        """A `RunPage` as JSON. Raises `Refusal` for a cursor that is none of its own."""
        after = _parse_cursor(cursor)
        wanted = text.casefold()
        found = [
            (_age(known), known)
            for known in self.runs.values()
            if known.summary
            and (not states or known.summary.state in states)
            and (not wanted or wanted in known.text)
        ]
        found.sort(key=lambda pair: pair[0])
        rest = [pair for pair in found if after is None or pair[0] > after]
        shown = rest[:limit]
        following = encode(_cursor(shown[-1][0]) if len(rest) > limit else None)
        rows = b",".join(known.encoded for _, known in shown)
        return b'{"runs":[%s],"total":%d,"next":%s}' % (rows, len(found), following)

    def fresh(self, run: str) -> Run:
        """All about a run as it is now: for who has just changed it, or is about to."""
        self.rounds.another(run)
        return self.run(run)

    def run(self, run: str) -> Run:
        """All about a run, as it was a moment ago. Reads its folder."""
        known = self.known(run)
        config = self.store.config(run)
        with known.history.lock:
            best, names = known.history.best(), known.history.names
        assert known.summary is not None and self.index is not None
        return Run(
            **dict(known.summary),
            config=config.text if config else "",
            launch=known.launch,
            transitions=self.index.transitions(run),
            checkpoints=self.store.checkpoints(run, best[1] if best else None),
            metrics=names,
            evaluations=self.store.evaluations(run),
        )

    def metrics(
        self, run: str, names: Sequence[str], first: int | None, last: int | None, points: int
    ) -> bytes:
        """`Metrics` as JSON, from memory."""
        history = self.known(run).history
        with history.lock:
            end = history.step if last is None else min(last, history.step)
            found = {
                "run": run,
                "cursor": f"{run}={history.epoch}.{history.step}",
                "step": end,
                "series": all_series(history, names, first or 1, end, points),
            }
        return encode(found)

    def families(self, run: str) -> list[FamilyProgress]:
        """What a run has learned on each family."""
        history = self.known(run).history
        with history.lock:
            return history.families()

    def event_page(
        self, run: str, kinds: Sequence[str], after: int, before: int | None, limit: int
    ) -> EventPage:
        """Events of a run, the newest first."""
        assert self.index is not None
        history = self.known(run).history
        with history.lock:
            counts = history.lost()
        found = self.index.events(run, kinds, after, before, limit + 1)
        more = len(found) > limit
        return EventPage(
            events=found[:limit], counts=counts, next=found[limit - 1].id if more else None
        )

    def publish(self, events: Sequence[Event]) -> None:
        """Gives new events to streams."""
        self.events.extend(
            Sent(int(event.id), event.run, event.model_dump_json().encode()) for event in events
        )

    def unread_bytes(self) -> int:
        """Bytes of records that are still to be read."""
        pairs = [(k.records, k.offset) for k in list(self.runs.values())]
        return sum(max(0, records.bytes - offset) for records, offset in pairs if records)


def _age(known: Known) -> tuple[float, str]:
    """What runs are ordered by: the one that began last first, then by name."""
    assert known.summary is not None
    began = known.summary.began or known.summary.updated
    return -began.timestamp(), known.name


def _cursor(age: tuple[float, str]) -> str:
    return f"{age[0]:.6f}~{age[1]}"


def _parse_cursor(cursor: str | None) -> tuple[float, str] | None:
    if cursor is None:
        return None
    began, separator, name = cursor.partition("~")
    try:
        if separator:
            return float(began), name
    except ValueError:
        pass
    raise Refusal(422, "cursor is none that this service gave")
