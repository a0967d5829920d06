"""What was read of the run folders, on local disk, so that a restart need not read it again.

Never the truth: one that is deleted, foreign, damaged or of an older version is made anew, and the
folders are read from their beginning. SQLite in WAL mode: one thread writes, any number read.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from metaopt.client.models import Event, State, Transition
from workers.service.records import Happening, to_event
from workers.service.store import moment

VERSION = "1"
KEPT_EVENTS = 20_000  # of each run
KEPT_TRANSITIONS = 1000
SCHEMA = """
create table meta (name text primary key, value text not null) strict;
create table runs (run text primary key, summary text, history blob) strict;
create table transitions (run text, at real, state text, reason text) strict;
create index transitions_of on transitions (run);
create table events (
    id integer primary key autoincrement, run text not null, kind text not null,
    step integer not null, at real,
    text text not null, cause text not null, worker integer, task text not null
) strict;
create index events_of on events (run, id);
create index events_after on events (run, step);
"""
_ERRORS = (sqlite3.Error, ValueError, TypeError)


class Index:
    """The index of one root. Numbers of events begin at the time it was made, so they increase
    from one index to the next.
    """

    def __init__(self, path: Path, root: str):
        """Opens it, or makes it anew. Raises `OSError` or `sqlite3.Error` where neither can be."""
        self._path, self._root = path, root
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._writer = self._opened()
        self._reader = self._connect()

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._reader.close()
        self._writer.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Within it, all is written or nothing."""
        with self._writer:
            self._writer.execute("begin")
            yield

    def summary(self, run: str) -> str | None:
        """The summary of a run as it was saved last, as JSON."""
        found = self._read("select summary from runs where run = ?", (run,))
        return found[0][0] if found else None

    def transitions(self, run: str) -> list[Transition]:
        """The changes of state of a run, in order."""
        query = "select state, at, reason from transitions where run = ? order by rowid"
        rows = self._read(query, (run,))
        return [Transition(state=State(s), at=moment(at), reason=r) for s, at, r in rows]

    def history(self, run: str) -> bytes | None:
        """The history of a run as it was saved last."""
        found = self._read("select history from runs where run = ?", (run,))
        return found[0][0] if found else None

    def save(self, run: str, summary: str, history: bytes) -> None:
        """Keeps both for the next start."""
        query = "insert or replace into runs values (?, ?, ?)"
        self._writer.execute(query, (run, summary, history))

    def forget(self, run: str) -> None:
        """Drops all that is known of a run whose folder is gone."""
        for table in ("runs", "transitions", "events"):
            self._writer.execute(f"delete from {table} where run = ?", (run,))

    def drop_events(self, run: str, step: int) -> None:
        """Drops those of records after `step`, which are going to be read again."""
        query = "delete from events where run = ? and step > ? and kind not in ('state', 'rewind')"
        self._writer.execute(query, (run, step))

    def transition(self, run: str, change: Transition) -> None:
        values = (run, change.at.timestamp(), change.state, change.reason)
        self._writer.execute("insert into transitions values (?, ?, ?, ?)", values)
        query = """delete from transitions where run = ?1 and rowid <= (
                   select rowid from transitions where run = ?1
                   order by rowid desc limit 1 offset ?2)"""
        self._writer.execute(query, (run, KEPT_TRANSITIONS))

    def add_events(
        self, run: str, happenings: Sequence[Happening], at: float | None
    ) -> list[Event]:
        """Numbers events and keeps them, the oldest ones of a run not for ever."""
        happenings = happenings[-KEPT_EVENTS:]
        query = "insert into events values (null, ?, ?, ?, ?, ?, ?, ?, ?)"
        added = []
        for one in happenings:
            values = (run, one.kind, one.step, at, one.text, one.cause, one.worker, one.task)
            number = self._writer.execute(query, values).lastrowid
            added.append(to_event(one, run, number or 0, None if at is None else moment(at)))
        return added

    def trim_events(self, run: str) -> None:
        """Drops the oldest events of a run that has too many."""
        query = """delete from events where run = ?1 and id <= (select id from events where run = ?1
                   order by id desc limit 1 offset ?2)"""
        self._writer.execute(query, (run, KEPT_EVENTS))

    def events(
        self,
        run: str,
        kinds: Sequence[str] = (),
        after: int = 0,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Events with numbers between `after` and `before`, the newest first."""
        before = 2**62 if before is None else before
        marks = ", ".join("?" for _ in kinds)
        of_kind = f"and kind in ({marks})" if kinds else ""
        query = f"""select id, kind, step, at, text, cause, worker, task from events
                    where run = ? and id > ? and id < ? {of_kind} order by id desc limit ?"""
        rows = self._read(query, (run, after, before, *kinds, limit))
        return [_event(run, *row) for row in rows]

    def newest_event(self) -> int:
        """The number of the newest event of all."""
        return self._read("select seq from sqlite_sequence where name = 'events'", ())[0][0]

    def _read(self, query: str, values: Sequence[object]) -> list[tuple]:
        with self._lock:
            return self._reader.execute(query, values).fetchall()

    def _opened(self) -> sqlite3.Connection:
        """The index that is there, if it is one of this root; else a new one in its place."""
        try:
            connection = self._connect()
            try:
                found = dict(connection.execute("select name, value from meta").fetchall())
                sound = connection.execute("pragma quick_check(1)").fetchone()[0] == "ok"
                same = (found["version"], found["root"]) == (VERSION, self._root)
                if sound and same and _has_all_tables(connection):
                    return connection
            except (*_ERRORS, KeyError):
                pass
            connection.close()
        except sqlite3.Error:
            pass
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        return self._made()

    def _made(self) -> sqlite3.Connection:
        connection = self._connect()
        made = time.time_ns() // 10**6
        connection.executescript(SCHEMA)
        values = [("version", VERSION), ("root", self._root)]
        connection.executemany("insert into meta values (?, ?)", values)
        connection.execute("insert into sqlite_sequence values ('events', ?)", (made,))
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=10.0, isolation_level=None, check_same_thread=False
        )
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        return connection


def _has_all_tables(connection: sqlite3.Connection) -> bool:
    found = {name for (name,) in connection.execute("select name from sqlite_master").fetchall()}
    return found >= {"runs", "transitions", "events", "events_of", "events_after"}


def _event(run: str, number: int, kind: str, step: int, at: float | None, *rest: object) -> Event:
    text, cause, worker, task = rest
    happening = Happening(kind, step, str(text), str(cause), worker, str(task))  # pyright: ignore
    return to_event(happening, run, number, None if at is None else moment(at))
