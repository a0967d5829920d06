"""What is known of one run at this moment."""

import threading
import time
from collections.abc import Callable

from metaopt.client.models import Launch, RunSummary
from workers.run_status import RunStatus
from workers.service.configuration import Facts
from workers.service.files import Entry
from workers.service.history import History
from workers.service.states import Asked, Found, Progress


class Known:
    """One run. One thread writes; what others read of it is replaced whole, or has a lock."""

    def __init__(self, name: str, load: Callable[[], History]):
        """`load` gives the history from the index, or an empty one."""
        self.name, self._load = name, load
        self.summary: RunSummary | None = None  # None before the run was looked at
        self.encoded = b""  # the summary as JSON
        self.version = 0  # of the summary; increases
        self.text = ""  # what a search looks at
        self.offset = 0  # up to where the records were read
        self.facts = Facts("unreadable")
        self.status: RunStatus | None = None
        self.launch: Launch | None = None
        self.asked: Asked | None = None
        self.found: Found | None = None
        self.config: Entry | None = None
        self.records: Entry | None = None
        self.more = True  # whether there are records to read at once
        self.unsaved = False
        self.error = ""  # why it could not be looked at last
        self.saved = self.looked = self.summarised = 0.0  # when last, on the monotonic clock
        self.used = time.monotonic()
        self._history: History | None = None
        self._loading = threading.Lock()

    @property
    def history(self) -> History:
        """The curves, which are loaded when they are not in memory."""
        self.used = time.monotonic()
        history = self._history
        if history is None:
            with self._loading:
                history = self._history = self._history or self._load()
        return history

    @property
    def is_loaded(self) -> bool:
        """Whether the curves are in memory."""
        return self._history is not None

    def show(self, summary: RunSummary) -> None:
        """Makes `summary` what is told of the run."""
        self.encoded = summary.model_dump_json().encode()
        self.text = " ".join((summary.id, summary.optimizer, *summary.tasks)).casefold()
        self.summary = summary
        self.version += 1

    def unload(self) -> None:
        """Lets go of the curves, which are in the index."""
        with self._loading:
            self._history = None

    def progress(self) -> Progress:
        """How far the run is."""
        written = self.records.written if self.records and self.records.bytes else None
        history = self.history
        longest = max(history.longest, default=0.0)
        return Progress(history.step, self.facts.num_steps, written, longest)

    def began(self) -> float | None:
        """When the run began, or what it is now, as far as its folder says."""
        if self.launch:
            return self.launch.at.timestamp()
        if self.status:
            return self.status.began
        return self.config.written if self.config else None

    def updated(self) -> float:
        """When the folder was last written, in seconds since 1970."""
        times = [entry.written for entry in (self.config, self.records) if entry]
        times += [self.status.ended or self.status.began] if self.status else []
        times += [self.asked.at] if self.asked else []
        return max(times, default=0.0)
