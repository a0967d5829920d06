"""The thread that reads the run folders, over and over, and knows what changed."""

import contextlib
import datetime
import logging
import sqlite3
import threading
import time
from pathlib import Path

from metaopt.client.models import RunSummary, Transition
from workers import run_status
from workers.service.configuration import facts
from workers.service.fleet import Fleet
from workers.service.history import History
from workers.service.index import Index
from workers.service.known import Known
from workers.service.liveness import Liveness
from workers.service.looks import Looks
from workers.service.records import Happening
from workers.service.states import OVER, Asked, Found, Look, derive, is_awaited, is_heard
from workers.service.store import CONFIG
from workers.service.summary import summarise
from workers.service.tail import Gain, read_on

logger = logging.getLogger(__name__)

ROUND = 0.25  # seconds between looks at runs that are not over
OVER_ROUND = 10.0  # and at those that are
SCAN = 2.0  # and for new ones
SUMMARY = 1.0  # between summaries of one run
SAVE = 60.0  # between savings of one run to the index
LOADED = 64  # runs whose curves are in memory
FRESH = 30.0  # seconds after which a root that could not be read makes the service unready


class Ingest:
    """Reads what is below the root of `fleet` into it, from `start` to `stop`."""

    def __init__(self, fleet: Fleet, liveness: Liveness, index: Path, root: str, read_only: bool):
        self._fleet, self._store = fleet, fleet.store
        self._looks = Looks(liveness)
        self._place, self._root, self._read_only = index, root, read_only
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._scanned = float("-inf")
        self._caught_up = False

    def start(self) -> None:
        """Opens the index and begins. Raises `OSError` or `sqlite3.Error` where it cannot."""
        self._fleet.index = Index(self._place, self._root)
        self._thread.start()

    def stop(self) -> None:
        """Ends, with all that was read in the index."""
        self._stopping.set()
        self._thread.join()
        self._looks.close()
        for known in self._fleet.runs.values():
            if known.unsaved:
                self._save(known)
        self._index.close()

    @property
    def is_ready(self) -> bool:
        """Whether all that was there has been read, and the root can be."""
        return self._caught_up and self._thread.is_alive() and not self.is_blind

    @property
    def is_blind(self) -> bool:
        """Whether the root could not be read for a while."""
        return time.monotonic() - self._scanned > FRESH

    @property
    def _index(self) -> Index:
        assert self._fleet.index is not None  # since `start`
        return self._fleet.index

    def _run(self) -> None:
        busy = False
        while not self._stopping.is_set():
            asked = self._fleet.rounds.begin(0.0 if busy else ROUND)
            try:
                busy = self._round(asked)
            except Exception:
                logger.exception("a round over the run folders failed")
                busy = False
            self._caught_up |= not busy and not self.is_blind
            self._fleet.rounds.end()

    def _round(self, asked: set[str]) -> bool:
        """Looks at each run that is due or asked for; whether there is more to read at once."""
        if asked or time.monotonic() - self._scanned > SCAN:
            self._scan()
        for known in list(self._fleet.runs.values()):
            if self._stopping.is_set():
                return False
            self._try_to_look_at(known, known.name in asked)
        self._unload()
        return any(known.more for known in self._fleet.runs.values())

    def _scan(self) -> None:
        """Finds new runs, and those that are gone."""
        try:
            names = self._store.names()
        except OSError as error:
            logger.warning("cannot read %s: %s", self._root, error)
            return
        runs = self._fleet.runs
        gone = runs.keys() - set(names)
        with self._index.writing():
            for name in gone:
                self._looks.forget(name)
                self._index.forget(name)
        new = {name: self._recalled(name) for name in names if name not in runs}
        self._fleet.runs = {n: k for n, k in runs.items() if n not in gone} | new
        self._scanned = time.monotonic()

    def _recalled(self, run: str) -> Known:
        """What the index has of a run that was not looked at yet."""
        known = Known(run, lambda: self._load(run))
        with contextlib.suppress(ValueError):
            if summary := self._index.summary(run):
                known.show(RunSummary.model_validate_json(summary))
        return known

    def _load(self, run: str) -> History:
        content = self._index.history(run)
        try:
            return History.from_bytes(content) if content else History()
        except ValueError:
            return History()

    def _try_to_look_at(self, known: Known, is_asked: bool) -> None:
        """Looks at a run; what is wrong with it is logged once, and the others are seen."""
        try:
            self._look_at(known, is_asked)
            known.error = ""
        except Exception as error:
            if known.error != str(error):
                logger.exception("run %s cannot be read", known.name)
            known.error = str(error)

    def _look_at(self, known: Known, is_asked: bool) -> None:
        now = time.monotonic()
        is_over = known.found is not None and known.found.state in OVER and not known.more
        if is_over and now - known.looked < OVER_ROUND and not is_asked:
            return
        if is_asked:
            self._looks.forget(known.name)
        if not known.looked:
            self._remember(known)
        known.looked = now
        self._read_folder(known)
        gain = self._read_records(known)
        self._judge(known, time.time())
        if is_asked or now - known.summarised >= SUMMARY or gain.rewound is not None:
            self._summarise(known)
        if known.unsaved and not known.more and now - known.saved > SAVE:
            self._save(known)

    def _remember(self, known: Known) -> None:
        """What was known of the run before the service began."""
        with self._index.writing():
            self._index.drop_events(known.name, known.history.step)
        before = self._index.transitions(known.name)
        if before:
            known.found = Found(before[-1].state, before[-1].reason)

    def _read_folder(self, known: Known) -> None:
        """The small files."""
        launch = self._store.launch(known.name)
        known.launch = launch.launch if launch else None
        known.asked = None
        if launch:
            at, submission = launch.asked_at, launch.launch.submission
            known.asked = Asked(at, submission, launch.cancelled)
        known.status = run_status.parse(self._store.status(known.name))
        entry = self._store.files.look((known.name, CONFIG))
        if known.config is None or entry is None or entry.mark != known.config.mark:
            known.facts = facts(self._store.config(known.name))
        known.config = entry

    def _read_records(self, known: Known) -> Gain:
        """A slice of the records that were added."""
        entry = self._store.metrics(known.name)
        if not known.more and (entry and entry.mark) == (known.records and known.records.mark):
            return Gain()
        catching_up = known.more
        gain = read_on(self._store, known.name, known.history, entry)
        known.records, known.more = entry, gain.more
        known.offset = known.history.position.offset
        if gain.lines or gain.rewound is not None:
            known.unsaved = True
        happenings = list(gain.events)
        with self._index.writing():
            if gain.rewound is not None:
                self._index.drop_events(known.name, gain.rewound)
                text = f"went on from outer step {gain.rewound}"
                happenings.insert(0, Happening("rewind", gain.rewound, text))
            at = None if catching_up else time.time()
            added = self._index.add_events(known.name, happenings, at)
            self._index.trim_events(known.name)
        self._fleet.publish(added)
        return gain

    def _judge(self, known: Known, now: float) -> None:
        """The state, and its change when it is one."""
        status, asked, look = known.status, known.asked, Look()
        if is_awaited(status, asked) or not is_heard(status, now):
            look = self._looks.of(known.name, status, known.launch)
        found = derive(status, asked, known.progress(), look, now)
        if known.found and known.found.state is found.state:
            known.found = found
            return
        self._looks.forget(known.name)
        at = datetime.datetime.fromtimestamp(now, datetime.UTC)
        text = f"{found.state}: {found.reason}" if found.reason else found.state
        happening = Happening("state", known.history.step, text)
        with self._index.writing():
            change = Transition(state=found.state, at=at, reason=found.reason)
            self._index.transition(known.name, change)
            added = self._index.add_events(known.name, [happening], now)
        known.found, known.summarised, known.unsaved = found, 0.0, True
        self._fleet.publish(added)

    def _summarise(self, known: Known) -> None:
        assert known.found is not None  # judged before
        known.summarised = time.monotonic()
        summary = summarise(
            known.name,
            known.facts,
            known.found,
            known.history,
            known.began(),
            known.updated(),
            self._read_only,
        )
        if summary != known.summary:
            known.show(summary)

    def _save(self, known: Known) -> None:
        """Writes the run to the index, which costs as much as the run has metrics."""
        content = known.history.to_bytes()
        try:
            with self._index.writing():
                self._index.save(known.name, known.encoded.decode(), content)
        except sqlite3.Error as error:
            logger.warning("the index cannot be written: %s", error)
            return
        known.saved, known.unsaved = time.monotonic(), False

    def _unload(self) -> None:
        """Lets go of curves that nobody has looked at lately."""
        loaded = [k for k in self._fleet.runs.values() if k.is_loaded]
        idle = [k for k in loaded if k.found and k.found.state in OVER and not k.more]
        excess = len(loaded) - LOADED
        for known in sorted(idle, key=lambda k: k.used)[: max(0, excess)]:
            if known.unsaved:
                self._save(known)
            if not known.unsaved:
                known.unload()
