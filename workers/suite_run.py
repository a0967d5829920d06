"""Evaluating over a suite: what is kept is not computed again, the rest goes to workers."""

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from metaopt import suite_evaluation
from metaopt.baselines.contenders import Contender
from metaopt.suite_evaluation import Record, Unit
from metaopt.suites import Suite
from metaopt.unit_cache import UnitCache
from taskset import whole_files
from taskset.errors import InputError
from workers.farm import finished
from workers.piece import Failed
from workers.progress import duration

CACHE = Path.home() / ".cache" / "metaopt" / "evaluations"
FILE = "evaluation.json"


@dataclasses.dataclass(frozen=True)
class SuiteRun:
    """All contenders on all tasks of a suite."""

    suite: Suite
    contenders: tuple[Contender, ...]  # the subject first
    seeds: tuple[int, ...]
    cache: UnitCache
    num_workers: int
    address: str | None  # of a Ray cluster; None: processes of this machine

    def run(self, console: Console, **about: str) -> dict[str, Any]:
        """evaluation.json; `about` says what the subject is. Prints a line for each unit."""
        units = suite_evaluation.units(self.suite, self.contenders, self.seeds)
        keys, failures = _keys(units)
        records: dict[str, Record] = {
            key: kept for key in set(keys.values()) if (kept := self.cache.read(key))
        }
        todo: dict[str, Unit] = {}  # units that differ in name only are computed once
        for unit in units:
            if (key := keys.get(unit.name)) and key not in records:
                todo.setdefault(key, unit)
        console.print(
            f"{len(units)} units of a task and an optimizer: {len(units) - len(todo)} are known or "
            f"shared, {len(todo)} to compute"
        )
        failed = self._compute(console, todo, records)
        failures += [
            _failure(unit, failed[key]) for unit in units if (key := keys.get(unit.name)) in failed
        ]
        named = {name: records[key] for name, key in keys.items() if key in records}
        return suite_evaluation.assemble(
            self.suite, self.contenders, self.seeds, named, failures, **about
        )

    def _compute(
        self, console: Console, todo: Mapping[str, Unit], records: dict[str, Record]
    ) -> dict[str, str]:
        """Adds to `records`, and keeps, what can be computed; returns why the rest could not."""
        failed: dict[str, str] = {}
        keys, start = list(todo), time.monotonic()
        outcomes = finished(list(todo.values()), self.num_workers, self.address)
        for number, (index, outcome) in enumerate(outcomes, 1):
            key = keys[index]
            if isinstance(outcome, Failed):
                failed[key] = outcome.reason
            else:
                self.cache.write(key, outcome)
                records[key] = outcome
            left = (time.monotonic() - start) / number * (len(keys) - number)
            task, optimizer = todo[key].name
            why = f" failed: {failed[key]}" if key in failed else ""
            console.print(
                f"{number} of {len(keys)}, {duration(left)} left: {optimizer} on {task}{why}"
            )
        return failed


def write(folder: Path, evaluation: Mapping[str, Any]) -> Path:
    """Writes evaluation.json into `folder`, all of it or nothing, and returns its path."""
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        whole_files.replace(path, json.dumps(evaluation).encode())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give another --out") from error
    return path


def _keys(units: Sequence[Unit]) -> tuple[dict[tuple[str, str], str], list[dict[str, str]]]:
    """The key of each unit by its name; and failures, for tasks whose data are not there."""
    keys: dict[tuple[str, str], str] = {}
    failures: list[dict[str, str]] = []
    fingerprints: dict[str, str | InputError] = {}
    for unit in units:
        name = unit.task.name
        if name not in fingerprints:
            try:
                fingerprints[name] = suite_evaluation.fingerprint(unit.task)
            except InputError as error:
                fingerprints[name] = error
        found = fingerprints[name]
        if isinstance(found, InputError):
            failures.append(_failure(unit, str(found)))
        else:
            keys[unit.name] = unit.key(found)
    return keys, failures


def _failure(unit: Unit, reason: str) -> dict[str, str]:
    task, optimizer = unit.name
    return {"task": task, "optimizer": optimizer, "error": reason}
