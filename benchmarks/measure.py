"""Timing that tells work from waiting, and the tables and files of all benchmarks."""

import json
import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import rich.console
import rich.table


class Timing(NamedTuple):
    """The best wall time and the median CPU time of a call, in seconds.

    The least wall time is what an idle machine takes; CPU time, all threads together, is what a
    call costs whatever else the machine does.
    """

    wall: float
    cpu: float


def timed(call: Callable[[], Any], repeats: int) -> Timing:
    """Times `call`, which has been compiled before, waiting for what it returns."""
    return timed_in_turns([call], repeats)[0]


def timed_in_turns(calls: Sequence[Callable[[], Any]], repeats: int) -> list[Timing]:
    """The same of several, in turns, so that what else the machine does meets them alike."""
    walls, cpus = ([[] for _ in calls] for _ in range(2))
    for _ in range(repeats):
        for i, call in enumerate(calls):
            wall, cpu = time.perf_counter(), time.process_time()
            jax.block_until_ready(call())
            walls[i].append(time.perf_counter() - wall)
            cpus[i].append(time.process_time() - cpu)
    return [Timing(min(w), statistics.median(c)) for w, c in zip(walls, cpus, strict=True)]


def report(title: str, rows: Sequence[dict[str, Any]], path: pathlib.Path | None) -> None:
    """Prints `rows`, all of the same keys, as a table; writes them to `path` as JSON."""
    table = rich.table.Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*[f"{x:,.3g}" if isinstance(x, float) else str(x) for x in row.values()])
    rich.console.Console(width=160).print(table)
    save(title, rows, path)


def save(title: str, rows: Sequence[dict[str, Any]], path: pathlib.Path | None) -> None:
    """Writes `rows` to `path` as JSON, if there is one."""
    if path is not None:
        path.write_text(json.dumps({"title": title, "rows": rows}, indent=2) + "\n")


def saved_rows(path: pathlib.Path | None) -> list[dict[str, Any]]:
    """The rows of an earlier run; none without its file."""
    return json.loads(path.read_text())["rows"] if path is not None and path.exists() else []
