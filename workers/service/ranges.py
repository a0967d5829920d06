"""A short stretch of a run, exactly: its records are read from their file again."""

import numpy as np

from workers.service import records
from workers.service.curves import Points
from workers.service.history import History
from workers.service.records import Line
from workers.service.series import encode, series
from workers.service.store import METRICS, Store
from workers.service.tail import SLICE

MAX_RECORDS = 20_000  # that are read for one request
MAX_BYTES = 32 * 2**20


def is_short(history: History, first: int, last: int, points: int) -> bool:
    """Whether steps `first` to `last` are few enough to be read and sent one by one."""
    return last - first < points and history.width + points <= MAX_RECORDS


def exact(
    store: Store, run: str, history: History, names: list[str], first: int, last: int
) -> bytes | None:
    """`Metrics` as JSON; None when the records are not where they were, or too many bytes."""
    with history.lock:
        anchor, epoch, newest = history.anchor_before(first), history.epoch, history.step
        known = [name for name in names if history.has(name)]
    found: list[Line] = []
    offset, seconds, end = anchor.offset if anchor else 0, anchor.seconds if anchor else 0.0, 0
    while not found or found[-1].step < min(last, newest):
        content = store.files.read((run, METRICS), offset, SLICE) or b""
        lines = list(records.lines(records.whole_lines(content), offset))
        end += len(content)
        if not lines or end > MAX_BYTES or (found and lines[0].step <= found[-1].step):
            return None
        found += lines
        offset = offset + len(records.whole_lines(content))
    return _encoded(run, known, found, seconds, (first, min(last, newest)), (epoch, newest))


def _encoded(
    run: str,
    names: list[str],
    found: list[Line],
    seconds: float,
    steps: tuple[int, int],
    cursor: tuple[int, int],
) -> bytes:
    step = np.array([line.step for line in found], np.int64)
    trained = seconds + np.cumsum([line.seconds for line in found])
    within = (step >= steps[0]) & (step <= steps[1])
    curves = {}
    for name in names:
        values = np.array([line.value(name) for line in found])
        kept = within & ~np.isnan(values)
        value = np.where(np.isfinite(values[kept]), values[kept], np.nan)
        curves[name] = series(Points(step[kept], trained[kept], value, value, value))
    place = f"{run}={cursor[0]}.{cursor[1]}"
    return encode({"run": run, "cursor": place, "step": steps[1], "series": curves})
