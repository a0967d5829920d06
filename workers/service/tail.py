"""Reading on in the records of a run: what was added since, or that it went on from earlier."""

import zlib
from typing import NamedTuple

from workers.service import records
from workers.service.files import Entry
from workers.service.history import History
from workers.service.records import Happening, Line
from workers.service.store import METRICS, Store

SLICE = 2**20  # bytes that are read at once
LINE = 2**16  # bytes that nearly every line has room in


class Gain(NamedTuple):
    """What reading on has found."""

    lines: int = 0
    events: tuple[Happening, ...] = ()
    rewound: int | None = None  # to the end of this step; then came the rest
    more: bool = False  # whether there is more to read at once


def read_on(store: Store, run: str, history: History, entry: Entry | None) -> Gain:
    """Takes into `history` what the file has beyond, a slice at most. Raises `OSError`.

    `entry` is the file as it is now. A last line that is not whole waits. A file that is shorter,
    or other than it was, is read again from where it differs; and a step that is not after the one
    before it takes the place of all steps from there on.
    """
    position = history.position
    size = entry.bytes if entry else 0
    begin = position.line if position.step else position.offset
    wanted = position.offset - begin + SLICE
    content = store.files.read((run, METRICS), begin, wanted) if entry else b""
    content = content or b""
    rewound = None
    if size < position.offset or not _goes_on(history, content):
        rewound = _rewind(store, run, history)
        content = store.files.read((run, METRICS), history.position.offset, SLICE) or b""
    else:
        content = content[position.offset - begin :]
    whole = records.whole_lines(content)
    if not whole and len(content) >= SLICE:
        whole = content  # a line that no record is as long as: it is passed over
    gain = _take(history, whole)
    lowest = [step for step in (rewound, gain.rewound) if step is not None]
    return gain._replace(rewound=min(lowest, default=None), more=len(content) >= SLICE)


def _goes_on(history: History, content: bytes) -> bool:
    """Whether `content` begins with the last record that was read."""
    line, end, _ = content.partition(b"\n")
    return not history.position.step or zlib.crc32(line + end) == history.position.check


def _take(history: History, content: bytes) -> Gain:
    """Takes in whole lines, in stretches of increasing steps."""
    begin, rewound, events = history.position.offset, None, []
    stretch: list[Line] = []
    before, number = history.position.step, 0
    for line in records.lines(content, begin):
        if line.step <= before:
            events += _take_stretch(history, stretch, line.offset)
            stretch = []
            history.forget_after(line.step - 1)
            rewound = min(line.step - 1, rewound if rewound is not None else line.step)
            events = [event for event in events if event.step < line.step]
        stretch.append(line)
        before, number = line.step, number + 1
    events += _take_stretch(history, stretch, begin + len(content))
    return Gain(number, tuple(events), rewound)


def _take_stretch(history: History, stretch: list[Line], end: int) -> list[Happening]:
    new = [event for line in stretch if line.step > history.step for event in line.events]
    history.take(stretch, end)
    return new


def _rewind(store: Store, run: str, history: History) -> int:
    """Drops what the file no longer has; the last step that is kept."""
    anchors = history.anchors()
    low, high = 0, len(anchors)  # that many begin as they did; up to that many may
    while low < high:
        middle = (low + high) // 2
        if _line_check(store, run, anchors[middle].offset) == anchors[middle].check:
            low = middle + 1
        else:
            high = middle
    history.rewind_to(anchors[:low])
    return history.step


def _line_check(store: Store, run: str, offset: int) -> int | None:
    """The checksum of the line at `offset`; None when it is not whole."""
    for length in (LINE, SLICE):
        line, end, _ = (store.files.read((run, METRICS), offset, length) or b"").partition(b"\n")
        if end:
            return zlib.crc32(line + end)
    return None
