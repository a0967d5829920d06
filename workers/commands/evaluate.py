"""`metaopt evaluate`: a learned optimizer against tuned Adam on held-out tasks."""

import contextlib
import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from rich.console import Console

from metaopt import curves, exports, report
from metaopt.baselines.adam import SCHEDULES
from metaopt.baselines.grid import RATES
from metaopt.checkpoint import write_durably
from metaopt.evaluate import evaluate
from metaopt.learned_optimizers import LearnedOptimizer, MetaParams
from taskset import catalog
from taskset.errors import InputError
from workers import run_folder
from workers.commands.table import print_records

FOLDER, REPORT = "evaluation", "eval.json"


class Subject(NamedTuple):
    """What is evaluated."""

    title: str
    optimizer: LearnedOptimizer
    meta_params: MetaParams
    tasks: tuple[str, ...]
    num_steps: int | None  # the longest inner run of meta-training, where it is known

    @property
    def sha256(self) -> str:
        """The checksum of the meta-parameters, which says what an evaluation is of."""
        return exports.checksum(self.meta_params)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Trains held-out tasks with a learned optimizer, and with Adam at every rate of a grid.

    Adam's rate is chosen on the very runs that are reported, with and without cosine decay. Writes
    eval.json, curves.png and curves.svg for each task into PATH/evaluation, or into --out.
    """

    path: tyro.conf.Positional[Path]  # run folder, whose best checkpoint is taken, or export folder
    seeds: int = 32  # held-out runs; none of them has chosen the checkpoint
    steps: int | None = None  # inner steps; by default as long as in meta-training
    tasks: tuple[str, ...] = ()  # by name; by default those of meta-training
    checkpoint: int | None = None  # outer step of the checkpoint; the best by default
    out: Path | None = None

    def run(self) -> int:
        """Prints the plan, a table and what it says; returns 0."""
        subject = find(self.path, self.checkpoint)
        families = {task: catalog.exact(catalog.build(task)) for task in self._tasks(subject)}
        num_steps = self._num_steps(subject)
        folder = self.out or self.path / FOLDER
        console = Console(highlight=False, soft_wrap=True)
        tuning = len(RATES) * len(SCHEDULES) * self.seeds
        console.print(f"{subject.title}: {self.seeds} held-out runs of {num_steps} steps a task.")
        console.print(
            f"Adam: {len(RATES)} rates from {RATES[0]:g} to {RATES[-1]:g}, with and without cosine "
            f"decay: {tuning:,} tuning runs a task. The learned optimizer: none."
        )
        for task, family in families.items():
            evaluation = evaluate(
                family,
                subject.optimizer,
                subject.meta_params,
                num_steps=num_steps,
                seeds=range(self.seeds),
                task=task,
            )
            written = report.as_json(evaluation) | {"sha256": subject.sha256}
            _print(console, written)
            for path in _write(folder if len(families) == 1 else folder / slug(task), written):
                console.print(f"wrote {path}")
        return 0

    def _tasks(self, subject: Subject) -> tuple[str, ...]:
        tasks = self.tasks or subject.tasks
        if not tasks:
            raise InputError(f"{self.path} does not say which task it is for; name it by --tasks")
        return tasks

    def _num_steps(self, subject: Subject) -> int:
        num_steps = subject.num_steps if self.steps is None else self.steps
        if num_steps is None:
            raise InputError(f"{self.path} does not say how long to train; give --steps")
        if num_steps < 1:
            raise InputError(f"--steps is {num_steps}; it must be at least 1")
        if self.seeds < 2:
            raise InputError(f"--seeds is {self.seeds}; an interval needs 2, better 16 or more")
        return num_steps


def find(path: Path, step: int | None = None) -> Subject:
    """What lies at `path`: a run, at its best checkpoint or at that of `step`, or an export."""
    if (path / exports.CONFIG).is_file():
        exported = exports.read(path)
        tasks = tuple(exported.provenance.get("tasks", ()))
        num_steps = exported.provenance.get("num_steps")
        return Subject(f"export {path}", exported.optimizer, exported.meta_params, tasks, num_steps)
    if not path.exists():
        raise InputError(f"{path} does not exist; give a run folder or an export folder")
    trained = run_folder.load_trained(path, step)
    return Subject(
        f"run {path} at outer step {trained.step}",
        trained.config.optimizer,
        trained.meta_params,
        trained.config.held_out_tasks("test"),
        trained.config.horizon.bounds()[1],
    )


def written_reports(folder: Path, meta_params: MetaParams) -> dict[str, Mapping[str, Any]]:
    """What `metaopt evaluate` has written into a run folder about `meta_params`, by task.

    Evaluations of other checkpoints of the run are passed over. Raises `InputError` for a file that
    is none.
    """
    reports = [_read(path) for path in sorted(folder.glob(f"{FOLDER}/**/{REPORT}"))]
    of_these = exports.checksum(meta_params)
    return {found["task"]: found for found in reports if found.get("sha256") == of_these}


def _read(path: Path) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict) and "task" in found:
            return found
    raise InputError(f"{path} is damaged: it is no evaluation; evaluate again, or remove it")


def slug(task: str) -> str:
    """A task name as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9]+", "-", task).strip("-")


def _print(console: Console, written: Mapping[str, Any]) -> None:
    console.print(f"\n{written['task']}, {written['num_steps']} steps")
    rows: Sequence[tuple[str, ...]] = report.table(written)
    print_records([dict(zip(report.HEADER, row, strict=True)) for row in rows])
    for line in report.conclusions(written):
        console.print(line)


def _write(folder: Path, written: Mapping[str, Any]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f"{REPORT}.part"
        write_durably(partial, json.dumps(written, indent=1).encode())
        partial.replace(folder / REPORT)
        return [folder / REPORT, *curves.draw(written, folder)]
    except OSError as error:
        raise InputError(
            f"cannot write into {folder}: {error.strerror}; give another --out"
        ) from error
