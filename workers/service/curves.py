"""Curves of any length in constant memory: buckets of outer steps, which widen as a run goes on.

Bucket i holds steps i width + 1 to (i + 1) width. When there is no room for another, the width
doubles, and pairs of buckets merge. The newest records are kept one by one besides. A bucket knows
where in the file its first record is, and a checksum of that: so a part of the file can be found,
and whether the file is still the one that was read.
"""

import io
import zlib
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray
RECENT = 512  # records that are kept one by one
NONFINITE = np.inf  # in place of each value that is there and not finite; nan: it is not there
# One per bucket; and [buckets, names] each.
_OF_BUCKETS = {"first": "i8", "last": "i8", "seconds": "f8", "offset": "i8", "check": "u4"}
_OF_NAMES = {"total": "f8", "low": "f8", "high": "f8", "count": "i4", "seen": "i4"}


class Batch(NamedTuple):
    """Consecutive records, and where they were read."""

    step: np.ndarray  # [records] int64, increasing
    seconds: Floats  # [records] of training until then
    offset: np.ndarray  # [records] int64, of the line in the file
    check: np.ndarray  # [records] uint32, of the line
    names: tuple[str, ...]
    values: Floats  # [records, names]

    def after(self, step: int) -> "Batch":
        """The records of later steps."""
        kept = slice(int(np.searchsorted(self.step, step, side="right")), None)
        cut = (self.step[kept], self.seconds[kept], self.offset[kept], self.check[kept])
        return Batch(*cut, self.names, self.values[kept])

    def copied(self) -> "Batch":
        """The same in memory of its own, so that what it was cut from can go."""
        return Batch(
            self.step.copy(),
            self.seconds.copy(),
            self.offset.copy(),
            self.check.copy(),
            self.names,
            self.values.copy(),
        )


class Anchor(NamedTuple):
    """A record that a bucket begins with."""

    step: int
    offset: int
    check: int
    seconds: float  # of training until before that bucket


class Points(NamedTuple):
    """A curve: arrays of equal length. What is not finite is nan."""

    step: np.ndarray
    seconds: Floats
    mean: Floats
    low: Floats
    high: Floats


class Curves:
    """Those of one run, of any number of metrics on one grid of steps."""

    def __init__(self, max_buckets: int, max_names: int):
        """`max_buckets` is a power of two. Names beyond `max_names` are not kept."""
        self.max_buckets, self.max_names = max_buckets, max_names
        self.width, self.last_step = 1, 0
        self.names: dict[str, int] = {}
        self._size = 0  # buckets up to the last one that has a record
        self._arrays = {
            **{n: np.zeros(0, kind) for n, kind in _OF_BUCKETS.items()},
            **{n: np.zeros((0, 0), kind) for n, kind in _OF_NAMES.items()},
        }
        self._recent: list[Batch] = []

    def add(self, batch: Batch) -> None:
        """Takes in those records that are later than all before."""
        batch = batch.after(self.last_step)
        if not len(batch.step):
            return
        self._widen(int(batch.step[-1]))
        columns = self._columns(batch.names)
        self._make_room((int(batch.step[-1]) - 1) // self.width + 1)
        row = (batch.step - 1) // self.width
        starts = np.flatnonzero(np.diff(row, prepend=row[0] - 1))
        self._add_positions(batch, row[starts], starts)
        self._add_values(batch.values[:, columns >= 0], row[starts], starts, columns[columns >= 0])
        self.last_step = int(batch.step[-1])
        self._remember(batch)

    def total(self, name: str) -> float:
        """The sum of a metric over all records."""
        column = self.names.get(name)
        return float(self._arrays["total"][:, column].sum()) if column is not None else 0.0

    def totals(self, name: str) -> Floats:
        """The same by bucket, [buckets]."""
        column = self.names.get(name)
        if column is None:
            return np.zeros(self._size)
        return self._arrays["total"][: self._size, column]

    def curve(self, name: str, first: int = 1, last: int | None = None, points: int = 0) -> Points:
        """A metric over steps `first` to `last`, in at most `points` parts where that is given.

        Exact where the newest records reach back so far, else by buckets, the first of which may
        begin earlier.
        """
        last = self.last_step if last is None else last
        if name not in self.names:
            return Points(*(np.zeros(0, kind) for kind in (np.int64, *[np.float64] * 4)))
        recent = self._recent and first > self._before_recent()
        rows = self._newest(name, first, last) if recent else self._buckets(name, first, last)
        return rows.reduced(points).points()

    def anchors(self) -> list[Anchor]:
        """Where the buckets begin, in order."""
        first, offset, check = (self._arrays[n][: self._size] for n in ("first", "offset", "check"))
        used = np.flatnonzero(first)
        before = np.concatenate(([0.0], self._arrays["seconds"][used]))[: len(used)]
        columns = first[used], offset[used], check[used], before
        return [
            Anchor(int(s), int(o), int(c), float(b)) for s, o, c, b in zip(*columns, strict=True)
        ]

    def drop_from(self, step: int) -> Anchor | None:
        """Drops every bucket that has a record of `step` or later; where the first one began."""
        dropped = [a for a, last in zip(self.anchors(), self._lasts(), strict=True) if last >= step]
        if dropped:
            self._cut((dropped[0].step - 1) // self.width)
        return dropped[0] if dropped else None

    def forget_after(self, step: int) -> None:
        """Goes on after `step`: later buckets are dropped, the one that holds it stays as it is."""
        self._cut(-(-step // self.width))
        used = self._arrays["last"][: self._size]
        np.minimum(used, step, out=used)
        self.last_step = int(used.max(initial=0))

    def to_bytes(self) -> bytes:
        """All but the newest records."""
        file = io.BytesIO()
        names = np.array(list(self.names), dtype=np.str_)
        shape = np.array([self.width, self.last_step, self._size], np.int64)
        kept = {name: array[: self._size] for name, array in self._arrays.items()}
        np.savez(file, allow_pickle=False, _names=names, _shape=shape, **kept)
        return zlib.compress(file.getvalue(), 1)

    @classmethod
    def from_bytes(cls, content: bytes, max_buckets: int, max_names: int) -> "Curves":
        """What `to_bytes` gave. Raises `ValueError`, `KeyError` or `zlib.error` for other bytes."""
        found = np.load(io.BytesIO(zlib.decompress(content)), allow_pickle=False)
        curves = cls(max_buckets, max_names)
        curves.width, curves.last_step, curves._size = map(int, found["_shape"])
        curves.names = {str(name): i for i, name in enumerate(found["_names"])}
        curves._arrays = {name: found[name] for name in (*_OF_BUCKETS, *_OF_NAMES)}
        return curves

    def _remember(self, batch: Batch) -> None:
        """Keeps the newest records, as many as `RECENT` at least and twice that at most."""
        self._recent.append(batch)
        excess = sum(len(b.step) for b in self._recent) - RECENT
        if excess < RECENT:
            return
        while excess >= len(self._recent[0].step):
            excess -= len(self._recent.pop(0).step)
        self._recent[0] = self._recent[0].after(int(self._recent[0].step[0]) + excess - 1).copied()

    def _before_recent(self) -> int:
        """The step before the newest records that are kept one by one."""
        return int(self._recent[0].step[0]) - 1

    def _lasts(self) -> list[int]:
        last = self._arrays["last"][: self._size]
        return last[last > 0].tolist()

    def _cut(self, size: int) -> None:
        self._size = min(size, self._size)
        for name, array in self._arrays.items():
            array[self._size :] = np.nan if name in ("low", "high") else 0
        last = self._arrays["last"][: self._size]
        self.last_step = int(last.max(initial=0))
        self._recent = []

    def _widen(self, step: int) -> None:
        while (step - 1) // self.width >= self.max_buckets:
            self._arrays = {name: _merged(name, self._arrays) for name in self._arrays}
            self.width *= 2
            self._size = -(-self._size // 2)

    def _make_room(self, size: int) -> None:
        rows, columns = self._arrays["total"].shape
        self._size = max(self._size, size)
        more = max(0, min(max(size, 2 * rows), self.max_buckets) - rows) if size > rows else 0
        wider = max(0, len(self.names) - columns)
        if more or wider:
            for name, array in self._arrays.items():
                padding = ((0, more), (0, wider))[: array.ndim]
                empty = np.nan if name in ("low", "high") else 0
                self._arrays[name] = np.pad(array, padding, constant_values=empty)

    def _columns(self, names: Sequence[str]) -> np.ndarray:
        """The columns of names; -1 where there are too many. New ones are added."""
        for name in names:
            if name not in self.names and len(self.names) < self.max_names:
                self.names[name] = len(self.names)
        return np.array([self.names.get(name, -1) for name in names], np.int64)

    def _add_positions(self, batch: Batch, rows: np.ndarray, starts: np.ndarray) -> None:
        ends = np.append(starts[1:], len(batch.step)) - 1
        new = self._arrays["first"][rows] == 0
        for name, values in (("offset", batch.offset), ("check", batch.check)):
            self._arrays[name][rows[new]] = values[starts[new]]
        self._arrays["first"][rows[new]] = batch.step[starts[new]]
        self._arrays["last"][rows] = batch.step[ends]
        self._arrays["seconds"][rows] = batch.seconds[ends]

    def _add_values(
        self, values: Floats, rows: np.ndarray, starts: np.ndarray, columns: np.ndarray
    ) -> None:
        finite = np.isfinite(values)
        at = np.ix_(rows, columns)
        arrays = self._arrays
        arrays["total"][at] += np.add.reduceat(np.where(finite, values, 0.0), starts)
        arrays["count"][at] += np.add.reduceat(finite, starts, dtype=np.int32)
        arrays["seen"][at] += np.add.reduceat(~np.isnan(values), starts, dtype=np.int32)
        known = np.where(finite, values, np.nan)
        arrays["low"][at] = np.fmin(arrays["low"][at], np.fmin.reduceat(known, starts))
        arrays["high"][at] = np.fmax(arrays["high"][at], np.fmax.reduceat(known, starts))

    def _buckets(self, name: str, first: int, last: int) -> "_Rows":
        column, arrays = self.names[name], self._arrays
        seen = arrays["seen"][: self._size, column] > 0
        within = (arrays["last"][: self._size] >= first) & (arrays["first"][: self._size] <= last)
        rows = np.flatnonzero(seen & within)
        of_bucket = (arrays[n][rows] for n in ("last", "seconds"))
        return _Rows(*of_bucket, *(arrays[n][rows, column] for n in _OF_NAMES if n != "seen"))

    def _newest(self, name: str, first: int, last: int) -> "_Rows":
        parts = [b for b in self._recent if name in b.names]
        if not parts:
            return _Rows(*(np.zeros(0) for _ in _Rows._fields))
        step, seconds = (np.concatenate([getattr(b, n) for b in parts]) for n in Batch._fields[:2])
        values = np.concatenate([b.values[:, b.names.index(name)] for b in parts])
        kept = (step >= first) & (step <= last) & ~np.isnan(values)
        finite = np.isfinite(values[kept])
        known = np.where(finite, values[kept], np.nan)
        total = np.where(finite, values[kept], 0.0)
        return _Rows(step[kept], seconds[kept], total, known, known, finite.astype(np.int32))


class _Rows(NamedTuple):
    """A metric in consecutive groups of records."""

    step: np.ndarray
    seconds: Floats
    total: Floats
    low: Floats
    high: Floats
    finite: np.ndarray  # how many

    def reduced(self, points: int) -> "_Rows":
        """In at most `points` groups; 0: as they are."""
        number = len(self.step)
        if not points or number <= points:
            return self
        starts = np.arange(0, number, -(-number // points))
        ends = np.append(starts[1:], number) - 1
        return _Rows(
            self.step[ends],
            self.seconds[ends],
            np.add.reduceat(self.total, starts),
            np.fmin.reduceat(self.low, starts),
            np.fmax.reduceat(self.high, starts),
            np.add.reduceat(self.finite, starts),
        )

    def points(self) -> Points:
        with np.errstate(invalid="ignore"):
            mean = np.where(self.finite > 0, self.total / np.maximum(self.finite, 1), np.nan)
        return Points(self.step, self.seconds, mean, self.low, self.high)


def _merged(name: str, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Array `name` with half as many buckets."""
    array = arrays[name]
    even, odd = array[0::2], array[1::2]
    if len(odd) < len(even):
        padding = ((0, 1), (0, 0))[: array.ndim]
        odd = np.pad(odd, padding, constant_values=np.nan if name in ("low", "high") else 0)
    if name in ("total", "count", "seen"):
        return even + odd
    if name in ("low", "high"):
        return (np.fmin if name == "low" else np.fmax)(even, odd)
    if name in ("last", "seconds"):  # which increase
        return np.maximum(even, odd)
    return np.where(arrays["first"][0::2] > 0, even, odd)  # of the earlier one
