"""What the records of one run say, in constant memory."""

import json
import math
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from metaopt.client.models import FamilyProgress
from workers.service import records
from workers.service.configuration import family_of
from workers.service.curves import Anchor, Curves, Points
from workers.service.records import Line

RUN_BUCKETS, RUN_NAMES = 1024, 128  # of the metrics of the run
DETAIL_BUCKETS, DETAIL_NAMES = 256, 512  # of those of its families and tasks
LONGEST_OF = 10  # outer steps
MAX_REWINDS = 1000  # that are remembered
MAX_TASKS = 20_000  # that are told apart
SPARKS = 60
TENTHS = 10
FORMAT = 1  # of `to_bytes`


class Position(NamedTuple):
    """Up to where a file was read."""

    offset: int = 0
    step: int = 0  # of the last record; 0 when none was read since a rewind
    line: int = 0  # offset of that record
    check: int = 0  # and its checksum
    seconds: float = 0.0  # of training until there


class History:
    """The curves of a run, and up to where its file was read. Who uses it holds `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.epoch = time.time_ns() // 10**6  # another one after each rewind, and in each index
        self.rewinds: dict[int, int] = {}  # the step that each of the last epochs went on from
        self.position = Position()
        self.longest: tuple[float, ...] = ()  # seconds of the last outer steps
        self.newest: dict[str, float] = {}  # the metrics of the last record
        self._curves = Curves(RUN_BUCKETS, RUN_NAMES)
        self._details = Curves(DETAIL_BUCKETS, DETAIL_NAMES)
        self._tasks: dict[str, set[int]] = {}  # checksums of names, by family

    @property
    def step(self) -> int:
        """The newest outer step."""
        return self._curves.last_step

    @property
    def width(self) -> int:
        """Outer steps from one anchor to the next."""
        return self._curves.width

    @property
    def names(self) -> list[str]:
        """Of all metrics."""
        return [*self._curves.names, *self._details.names]

    def has(self, name: str) -> bool:
        """Whether there is a metric of that name."""
        return name in self._curves.names or name in self._details.names

    def take(self, found: Sequence[Line], end: int) -> None:
        """Takes in consecutive records, of increasing steps, of a file that was read to `end`."""
        last = self.position
        if not found:
            self.position = last._replace(offset=end)
            return
        new = [line for line in found if line.step > self.step]
        curves = records.batch(found, last.seconds, details=False)
        details = records.batch(found, last.seconds, details=True)
        seconds = last.seconds + sum(line.seconds for line in found)
        with self.lock:
            self._curves.add(curves)
            self._details.add(details)
            self.longest = (*self.longest, *(line.seconds for line in new))[-LONGEST_OF:]
            self.newest = found[-1].metrics
            self._meet(task for line in new for task in line.tasks)
            self.position = Position(
                end, found[-1].step, found[-1].offset, found[-1].check, seconds
            )

    def anchors(self) -> list[Anchor]:
        """Places in the file, in order, that it can be compared at."""
        return self._curves.anchors()

    def anchor_before(self, step: int) -> Anchor | None:
        """The last of these at or before `step`."""
        return next((a for a in reversed(self.anchors()) if a.step <= step), None)

    def rewind_to(self, kept: Sequence[Anchor]) -> None:
        """Drops all but the buckets that begin at `kept`, and of these the last if it has more.

        For what follows its first record may differ: it is to be read again.
        """
        last = kept[-1].step if kept else 0
        several = self._curves.width > 1
        with self.lock:
            self._drop_from(last if several else last + 1)

    def _drop_from(self, step: int) -> None:
        dropped = (self._curves.drop_from(step), self._details.drop_from(step))
        places = [anchor for anchor in dropped if anchor]
        if places:
            place = min(places, key=lambda anchor: anchor.offset)
            self.position = Position(place.offset, seconds=place.seconds)
        self._has_rewound()

    def forget_after(self, step: int) -> None:
        """Drops what comes after `step`, in a file that goes on from there."""
        with self.lock:
            self._curves.forget_after(step)
            self._details.forget_after(step)
            self._has_rewound()

    def rewound_since(self, epoch: int) -> int | None:
        """The step to which there were rewinds since `epoch`; None when there were none.

        0 when that is not known any more.
        """
        if epoch == self.epoch:
            return None
        if not self.epoch - MAX_REWINDS <= epoch < self.epoch:
            return 0
        return min(self.rewinds.get(e, 0) for e in range(epoch + 1, self.epoch + 1))

    def curve(self, name: str, first: int = 1, last: int | None = None, points: int = 0) -> Points:
        """A metric, as `Curves.curve` has it."""
        kept = self._curves if name in self._curves.names else self._details
        return kept.curve(name, first, last, points)

    def sparkline(self, name: str = "meta_loss") -> list[float | None]:
        """The means of a metric over the whole run."""
        return [number(mean) for mean in self.curve(name, points=SPARKS).mean.tolist()]

    def best(self) -> tuple[float, int] | None:
        """The best validation score, and the step of its checkpoint."""
        scores = self.curve("validation/score").low
        steps = self.curve("validation/best_step").high
        if not np.isfinite(scores).any() or not np.isfinite(steps).any():
            return None
        return float(np.nanmin(scores)), int(np.nanmax(steps))

    def lost(self) -> dict[str, int]:
        """Lost estimates in the whole run, by cause."""
        names = [name for name in self._curves.names if name.startswith("dropped/")]
        totals = {name.removeprefix("dropped/"): self._curves.total(name) for name in names}
        return {cause: round(total) for cause, total in totals.items() if total}

    def families(self) -> list[FamilyProgress]:
        """What was learned on each family, in order of their names."""
        names = sorted(filter(None, map(_family_of_metric, self._details.names)))
        counts = {n: self._details.totals(f"families/{n}/estimates") for n in names}
        parts = {n: _tenths(count) for n, count in counts.items()}
        whole = np.maximum(sum(parts.values(), np.zeros(TENTHS)), 1.0)
        return [self._family(name, counts[name], parts[name] / whole) for name in names]

    def to_bytes(self) -> bytes:
        """All but the newest records, to go on with after a restart."""
        head: dict[str, Any] = {
            "format": FORMAT,
            "epoch": self.epoch,
            "rewinds": list(self.rewinds.items()),
            "position": self.position,
            "longest": self.longest,
            "newest": {k: v for k, v in self.newest.items() if math.isfinite(v)},
            "tasks": {family: sorted(met) for family, met in self._tasks.items()},
        }
        parts = [json.dumps(head).encode(), self._curves.to_bytes(), self._details.to_bytes()]
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    @classmethod
    def from_bytes(cls, content: bytes) -> "History":
        """What `to_bytes` gave. Raises `ValueError` for other bytes."""
        try:
            head, curves, details = _parts(content)
            said = json.loads(head)
            history = cls()
            if said["format"] != FORMAT:
                raise ValueError(f"format {said['format']}")
            history.epoch, history.rewinds = said["epoch"], dict(said["rewinds"])
            history.position = Position(*said["position"])
            history.longest, history.newest = tuple(said["longest"]), said["newest"]
            history._tasks = {family: set(met) for family, met in said["tasks"].items()}
            history._curves = Curves.from_bytes(curves, RUN_BUCKETS, RUN_NAMES)
            history._details = Curves.from_bytes(details, DETAIL_BUCKETS, DETAIL_NAMES)
        except (KeyError, TypeError, OSError, zlib.error) as error:
            raise ValueError("not a history") from error
        return history

    def _has_rewound(self) -> None:
        self.epoch += 1
        self.rewinds[self.epoch] = self.step
        if len(self.rewinds) > MAX_REWINDS:
            del self.rewinds[min(self.rewinds)]
        loss = self.curve("meta_loss").mean
        self.newest = {"meta_loss": float(loss[-1])} if len(loss) else {}
        self.longest = ()

    def _meet(self, tasks: Iterable[str]) -> None:
        room = MAX_TASKS - sum(map(len, self._tasks.values()))
        for task in tasks:
            met = self._tasks.setdefault(family_of(task), set())
            check = zlib.crc32(task.encode("utf-8", errors="replace"))
            if room > 0 and check not in met:
                met.add(check)
                room -= 1

    def _family(self, family: str, count: np.ndarray, share: np.ndarray) -> FamilyProgress:
        losses = self._details.curve(f"families/{family}/meta_loss").mean
        return FamilyProgress(
            family=family,
            tasks=len(self._tasks.get(family, ())),
            estimates=round(float(count.sum())),
            nonfinite_runs=round(self._details.total(f"families/{family}/nonfinite_runs")),
            first=number(float(losses[0])) if len(losses) else None,
            last=number(float(losses[-1])) if len(losses) else None,
            sparkline=self.sparkline(f"families/{family}/meta_loss"),
            share=[round(float(part), 4) for part in share],
        )


def number(value: float) -> float | None:
    """`value` as JSON has it."""
    return value if math.isfinite(value) else None


def _family_of_metric(name: str) -> str:
    """The family whose estimates a metric counts; empty for other metrics."""
    is_count = name.startswith("families/") and name.endswith("/estimates")
    return name.removeprefix("families/").removesuffix("/estimates") if is_count else ""


def _tenths(counts: np.ndarray) -> np.ndarray:
    """The sums over ten equal parts."""
    return np.array([part.sum() for part in np.array_split(counts, TENTHS)])


def _parts(content: bytes) -> list[bytes]:
    parts, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "big")
        parts.append(content[at + 8 : at + 8 + size])
        at += 8 + size
    return parts
