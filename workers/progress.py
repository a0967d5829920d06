"""How far a run is: a live panel on a terminal, a line every few seconds elsewhere."""

import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from metaopt.telemetry import Record, Sink

SECONDS_BETWEEN_LINES = 5.0
RECENT = 20  # outer steps that the remaining time is estimated from
EARLY = (1, 4)  # records that get a line anyway; with the second, the remaining time is known


def progress(num_steps: int, console: Console) -> Sink:
    """The sink that suits the console."""
    return LivePanel(num_steps, console) if console.is_terminal else PlainLines(num_steps, console)


class View(NamedTuple):
    """What is shown of a run."""

    step: int
    num_steps: int
    record: Record
    dropped: Counter[str]  # results by cause, in the whole run
    nonfinite_runs: int  # inner runs, in the whole run
    seconds_left: float | None
    validation: Record | None  # the newest

    def items(self) -> dict[str, str]:
        """Everything as text, by label."""
        items = {
            "outer step": f"{self.step:,} of {self.num_steps:,}",
            "meta-loss": f"{self.record['meta_loss']:.4g}",
            "inner steps/s": f"{self.record['inner_steps_per_second']:,.0f}",
            "workers": _counted(self.record["workers"]),
            "dropped": _counted(self.dropped),
            "non-finite runs": f"{self.nonfinite_runs}",
            "time left": "?" if self.seconds_left is None else duration(self.seconds_left),
        }
        if self.validation:
            items["validation"] = f"{self.validation['score']:.4g}"
            items["validation"] += f", best {self.validation['best']:.4g}"
        return items


def _counted(numbers: Mapping[str, int]) -> str:
    """The numbers with what they count, less those that are zero."""
    return ", ".join(f"{number} {name}" for name, number in numbers.items() if number) or "none"


class Watch:
    """Turns records, one by one, into what is shown."""

    def __init__(self, num_steps: int):
        self._num_steps = num_steps
        self._dropped: Counter[str] = Counter()
        self._nonfinite_runs = 0
        self._validation: Record | None = None
        self._times: deque[tuple[int, float]] = deque(maxlen=RECENT)

    def see(self, record: Record) -> View:
        self._dropped.update(record["dropped"])
        self._nonfinite_runs += round(record["nonfinite_runs"])
        self._validation = record.get("validation", self._validation)
        self._times.append((record["step"], time.monotonic()))
        return View(
            record["step"],
            self._num_steps,
            record,
            self._dropped,
            self._nonfinite_runs,
            self._seconds_left(),
            self._validation,
        )

    def _seconds_left(self) -> float | None:
        (first, start), (last, now) = self._times[0], self._times[-1]
        if last == first:
            return None
        return (now - start) / (last - first) * (self._num_steps - last)


class PlainLines:
    """One line every few seconds, and for the first and the last outer step. A `Sink`."""

    def __init__(self, num_steps: int, console: Console):
        self._watch, self._console = Watch(num_steps), console
        self._last_time, self._num_records = 0.0, 0
        self._unshown: View | None = None

    def write(self, record: Record) -> None:
        self._unshown = self._watch.see(record)
        self._num_records += 1
        waited = time.monotonic() - self._last_time
        if waited >= SECONDS_BETWEEN_LINES or self._num_records in EARLY:
            self._show()

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self._show()

    def _show(self) -> None:
        if self._unshown is None:
            return
        line = "  ".join(f"{label} {text}" for label, text in self._unshown.items().items())
        self._console.print(line, highlight=False, soft_wrap=True)
        self._unshown, self._last_time = None, time.monotonic()


class LivePanel:
    """A panel that is drawn anew in place. A `Sink`."""

    def __init__(self, num_steps: int, console: Console):
        self._watch = Watch(num_steps)
        self._live = Live(console=console, refresh_per_second=4)
        self._live.start()

    def write(self, record: Record) -> None:
        self._live.update(_panel(self._watch.see(record)))

    def sync(self) -> None:
        pass

    def close(self) -> None:
        self._live.stop()


def _panel(view: View) -> Any:
    table = Table.grid(padding=(0, 2))
    for label, text in view.items().items():
        table.add_row(f"[bold]{label}", text)
    return Panel(table, title="metaopt", title_align="left", expand=False)


def duration(seconds: float) -> str:
    """Seconds as "2 h 05 min", "3 min 20 s" or "12 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
