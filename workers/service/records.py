"""The lines of a metrics.jsonl, as numbers and as what happened.

A line is foreign until it is read: one that is no record is left out.
"""

import itertools
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from metaopt.client.models import Event
from workers.service.configuration import family_of
from workers.service.curves import NONFINITE, Batch

MAX_STEP = 2**53
MAX_NAME = 200  # characters of a metric's
MAX_NAMES = 2_000  # of one record
MAX_EVENTS = 100  # of one record
MAX_TEXT = 500
OF_TASKS = ("tasks/", "validation/losses/")  # metrics of which there are as many as tasks


class Happening(NamedTuple):
    """An event that has no number yet."""

    kind: str
    step: int
    text: str
    cause: str = ""
    worker: int | None = None
    task: str = ""


class Line(NamedTuple):
    """A record and where it is."""

    step: int
    seconds: float  # that it took
    offset: int
    check: int
    metrics: dict[str, float]  # of the run
    details: dict[str, float]  # of its families, then of its tasks
    tasks: tuple[str, ...]
    events: tuple[Happening, ...]

    def value(self, name: str) -> float:
        """A metric; nan where it is not in the record, `NONFINITE` where it is not finite."""
        return self.metrics.get(name, self.details.get(name, math.nan))


def whole_lines(content: bytes) -> bytes:
    """`content` without what comes after its last end of a line."""
    return content[: content.rfind(b"\n") + 1]


def lines(content: bytes, offset: int) -> Iterator[Line]:
    """The records in whole lines that were read at `offset`."""
    for line in content.splitlines(keepends=True):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            record = None
        if isinstance(record, dict) and _is_step(record.get("step")):
            yield _line(record, offset, zlib.crc32(line))
        offset += len(line)


def batch(found: Sequence[Line], seconds: float, *, details: bool) -> Batch:
    """Records as arrays; `seconds` are those of training before them."""
    tables = [line.details if details else line.metrics for line in found]
    names = tuple(dict.fromkeys(name for table in tables for name in table))
    column = {name: i for i, name in enumerate(names)}
    values = np.full((len(found), len(names)), np.nan)
    for row, table in zip(values, tables, strict=True):
        row[[column[name] for name in table]] = list(table.values())
    return Batch(
        np.array([line.step for line in found], np.int64),
        seconds + np.cumsum([line.seconds for line in found]),
        np.array([line.offset for line in found], np.int64),
        np.array([line.check for line in found], np.uint32),
        names,
        values,
    )


def to_event(happening: Happening, run: str, number: int, at: Any) -> Event:
    """The event with its number and when it was seen, if it was."""
    fields: dict[str, Any] = happening._asdict()
    return Event(id=str(number), run=run, at=at, **fields)


def _line(record: dict[str, Any], offset: int, check: int) -> Line:
    metrics: dict[str, float] = {}
    details: dict[str, float] = {}
    for name, value in itertools.islice(_scalars(record, ""), MAX_NAMES):
        (details if name.startswith(OF_TASKS) else metrics)[name] = value
    tasks = record.get("tasks")
    tasks = tasks if isinstance(tasks, dict) else {}
    step, seconds = record["step"], metrics.get("seconds", 0.0)
    return Line(
        step,
        seconds if math.isfinite(seconds) and seconds > 0 else 0.0,
        offset,
        check,
        metrics,
        _families(tasks) | details,
        tuple(tasks),
        tuple(_events(record))[:MAX_EVENTS],
    )


def _scalars(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """The numbers by their path. `metrics.jsonl` has texts for those that are not finite."""
    for key, value in table.items():
        kind = type(value)
        if kind is float or kind is int:
            if prefix or key != "step":
                yield prefix + key, float(value)
        elif kind is dict and len(prefix) + len(key) < MAX_NAME:
            yield from _scalars(value, f"{prefix}{key}/")
        elif kind is str and value in ("nan", "inf", "-inf"):
            yield prefix + key, NONFINITE


def _families(tasks: dict[str, Any]) -> dict[str, float]:
    """What the record says of families: the mean over their tasks that it has."""
    losses: dict[str, list[float]] = {}
    nonfinite: dict[str, float] = {}
    for task, said in tasks.items():
        if not isinstance(said, dict):
            continue
        family = family_of(task)
        losses.setdefault(family, []).append(_number(said.get("meta_loss")))
        nonfinite[family] = nonfinite.get(family, 0.0) + _or_zero(said.get("nonfinite_runs"))
    found = {}
    for family, values in losses.items():
        mean = sum(values) / len(values)
        found[f"families/{family}/meta_loss"] = mean if math.isfinite(mean) else NONFINITE
        found[f"families/{family}/nonfinite_runs"] = nonfinite[family]
        found[f"families/{family}/estimates"] = float(len(values))
    return found


def _events(record: Mapping[str, Any]) -> Iterator[Happening]:
    step = record["step"]
    for said in _tables(record.get("losses")):
        cause = _text(said.get("cause"))
        yield Happening("loss", step, f"lost an estimate: {cause}", cause, *_where(said))
    for said in _tables(record.get("explanations")):
        yield Happening("explanation", step, _text(said.get("explanation")), "", *_where(said))
    said = record.get("validation")
    if isinstance(said, dict):
        best = " (the best so far)" if said.get("best_step") == step else ""
        yield Happening("validation", step, f"validation score {_shown(said.get('score'))}{best}")


def _where(said: dict[str, Any]) -> tuple[int | None, str]:
    worker = said.get("worker")
    is_number = isinstance(worker, int) and abs(worker) < MAX_STEP
    return worker if is_number else None, _text(said.get("task"))


def _tables(found: Any) -> list[dict[str, Any]]:
    found = found if isinstance(found, list) else []
    return [said for said in found[:MAX_EVENTS] if isinstance(said, dict)]


def _text(found: Any) -> str:
    return " ".join(found.split())[:MAX_TEXT] if isinstance(found, str) else ""


def _shown(score: Any) -> str:
    return f"{score:.4g}" if isinstance(score, int | float) else _text(score) or "unknown"


def _number(found: Any) -> float:
    return float(found) if isinstance(found, int | float) else math.nan


def _or_zero(found: Any) -> float:
    number = _number(found)
    return number if math.isfinite(number) else 0.0


def _is_step(found: Any) -> bool:
    return type(found) is int and 0 < found < MAX_STEP
