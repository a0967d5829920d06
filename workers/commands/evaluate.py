"""`metaopt evaluate`: a learned optimizer against tuned baselines on held-out tasks."""

import contextlib
import dataclasses
import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import jax
import tyro
from rich.console import Console

from metaopt import curves, evaluation_report, exports, report, suites
from metaopt.baselines import contenders
from metaopt.baselines.contenders import Contender, Learned
from metaopt.baselines.grid import RATES
from metaopt.baselines.one_rate import SCHEDULES
from metaopt.evaluate import LEARNED, evaluate
from metaopt.learned_optimizers import LearnedOptimizer, MetaParams
from metaopt.suites import Suite, TrainedOn
from metaopt.unit_cache import UnitCache
from taskset import catalog, whole_files
from taskset.cores import num_cores
from taskset.errors import InputError
from workers import run_folder, suite_run
from workers.commands import task_file
from workers.commands.table import print_records
from workers.ray_cluster import ray_cluster
from workers.suite_run import SuiteRun

FOLDER, REPORT = "evaluation", "eval.json"
NUM_SEEDS = 32  # of an evaluation without a suite
BASELINES = ("adam", "adam_cosine", "momentum", "nadamw10", "muon", "schedule_free")
OF_SUITES = ("baselines", "against", "workers", "address", "cache")  # flags that need --suite
SOME_FAILED = 1


class Subject(NamedTuple):
    """What is evaluated."""

    title: str
    optimizer: LearnedOptimizer
    meta_params: MetaParams
    tasks: tuple[str, ...]
    num_steps: int | None  # the longest inner run of meta-training, where it is known
    families: tuple[str, ...] = ()  # that a mixture drew from

    @property
    def sha256(self) -> str:
        """The checksum of the meta-parameters, which says what an evaluation is of."""
        return exports.checksum(self.meta_params)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Trains held-out tasks with a learned optimizer, and with baselines tuned on each task.

    The settings of a baseline are chosen on the very runs that are reported, in its favour. Without
    --suite the tasks are those of meta-training, and the baseline is Adam at every rate of a grid,
    with and without cosine decay: writes eval.json, curves.png and curves.svg for each task into
    PATH/evaluation, or into --out. With --suite, writes evaluation.json and report.html into
    PATH/evaluation/SUITE: see docs/evaluation.md. What was finished before it was stopped is not
    computed again.
    """

    path: tyro.conf.Positional[Path]  # run folder, whose best checkpoint is taken, or export folder
    # small, iid, ood, fixed, or a file of `metaopt tasks sample`
    suite: str | None = None
    baselines: str | None = None  # with --suite: names with commas between; "none" for none
    against: tuple[Path, ...] = ()  # with --suite: other runs and exports to compare with
    seeds: int | None = None  # held-out runs of a task, none of which chose the checkpoint; or 32
    steps: int | None = None  # inner steps; by default as long as in meta-training
    tasks: tuple[str, ...] = ()  # by name; by default those of meta-training
    checkpoint: int | None = None  # outer step of the checkpoint; the best by default
    out: Path | None = None
    workers: int | None = None  # with --suite: units at once; as many as there are cores
    # with --suite: of a Ray cluster to run on, "local", "auto" or host:port, not processes here
    address: str | None = None
    cache: Path = suite_run.CACHE  # with --suite: where finished units are kept

    def run(self) -> int:
        """Prints the plan and what comes of it; returns 0, or 1 when a unit of a suite failed."""
        if self.suite is not None:
            workers = self._num_workers()
            # Before JAX computes anything; see `workers.ray_cluster`.
            ray = ray_cluster(self.address, workers) if self.address else nullcontext()
            with ray:
                return self._evaluate_suite(self.suite, workers)
        self._check_no_suite()
        return self._evaluate_tasks()

    def _evaluate_tasks(self) -> int:
        subject = find(self.path, self.checkpoint)
        families = {task: catalog.exact(catalog.build(task)) for task in self._tasks(subject)}
        num_steps, num_seeds = self._num_steps(subject), self._num_seeds(NUM_SEEDS)
        folder = _writable(self.out or self.path / FOLDER)
        console = Console(highlight=False, soft_wrap=True)
        tuning = len(RATES) * len(SCHEDULES) * num_seeds
        console.print(f"{subject.title}: {num_seeds} held-out runs of {num_steps} steps a task.")
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
                seeds=range(num_seeds),
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
        return num_steps

    def _num_seeds(self, default: int) -> int:
        num_seeds = default if self.seeds is None else self.seeds
        if num_seeds < 2:
            raise InputError(f"--seeds is {num_seeds}; an interval needs 2, better 16 or more")
        return num_seeds

    def _check_no_suite(self) -> None:
        for field in dataclasses.fields(self):
            if field.name in OF_SUITES and getattr(self, field.name) != field.default:
                raise InputError(f"--{field.name} goes with --suite, as in: --suite small")

    def _evaluate_suite(self, name: str, workers: int) -> int:
        subject = find(self.path, self.checkpoint)
        trained_on = TrainedOn(
            self.tasks or subject.tasks, self._num_steps(subject), subject.families
        )
        suite = _suite(name, trained_on)
        seeds = tuple(range(self._num_seeds(suite.num_seeds)))
        evaluation = SuiteRun(
            suite, self._contenders(subject), seeds, UnitCache(self.cache), workers, self.address
        )
        folder = _writable(self.out or self.path / FOLDER / suite.name)
        console = Console(highlight=False, soft_wrap=True)
        console.print(
            f"{subject.title}: suite {suite.name}, {len(suite.tasks)} tasks, "
            f"{len(seeds)} held-out runs each."
        )
        for contender in evaluation.contenders:
            console.print(f"{contender.title}: tuning {contender.tuning}")
        written = evaluation.run(console, subject=subject.title, sha256=subject.sha256)
        console.print(f"wrote {suite_run.write(folder, written)}")
        console.print(f"wrote {evaluation_report.write(written, folder)[0]}")
        return SOME_FAILED if written["failures"] else 0

    def _num_workers(self) -> int:
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers is {self.workers}; it must be at least 1")
        if self.address is not None or jax.default_backend() == "cpu":
            return self.workers or num_cores()
        if self.workers not in (None, 1):
            raise InputError(
                f"--workers is {self.workers}, which are on the CPU, and this process is on a "
                f"{jax.default_backend()}; use --workers 1, or set JAX_PLATFORMS=cpu"
            )
        return 1

    def _contenders(self, subject: Subject) -> tuple[Contender, ...]:
        """The subject, the baselines, and the others that are compared with."""
        asked = ",".join(BASELINES) if self.baselines is None else self.baselines
        names = [] if asked in ("", "none") else asked.split(",")
        others = [(path, find(path)) for path in self.against]
        found = (
            Learned(LEARNED, subject.optimizer, subject.meta_params),
            *(contenders.named(name.strip()) for name in names),
            *(Learned(str(path), x.optimizer, x.meta_params, kind="export") for path, x in others),
        )
        titles = Counter(contender.title for contender in found)
        for title, times in titles.items():
            if times > 1:
                raise InputError(f"{title} is to be evaluated {times} times; name it once")
        return found


def _writable(folder: Path) -> Path:
    """The folder, which can be made: that it cannot must not show after hours of evaluation."""
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        with tempfile.TemporaryFile(dir=there):
            return folder
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(f"cannot write into {folder}: {error.strerror}; give another --out")


def _suite(name: str, trained_on: TrainedOn) -> Suite:
    """The suite of a name, or of the tasks of a file."""
    if not name.endswith(".json"):
        return suites.named(name, trained_on)
    return suites.of_tasks(slug(Path(name).stem), task_file.names(name), trained_on)


def find(path: Path, step: int | None = None) -> Subject:
    """What lies at `path`: a run, at its best checkpoint or at that of `step`, or an export."""
    if (path / exports.CONFIG).is_file():
        exported = exports.read(path)
        tasks = tuple(exported.provenance.get("tasks", ()))
        num_steps = exported.provenance.get("num_steps")
        families = tuple(exported.provenance.get("families", ()))
        return Subject(
            f"export {path}", exported.optimizer, exported.meta_params, tasks, num_steps, families
        )
    if not path.exists():
        raise InputError(f"{path} does not exist; give a run folder or an export folder")
    trained = run_folder.load_trained(path, step)
    return Subject(
        f"run {path} at outer step {trained.step}",
        trained.config.optimizer,
        trained.meta_params,
        trained.config.held_out_tasks("test"),
        trained.config.horizon.bounds()[1],
        trained.config.components,
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
        whole_files.replace(folder / REPORT, json.dumps(written, indent=1).encode())
        return [folder / REPORT, *curves.draw(written, folder)]
    except OSError as error:
        raise _unwritable(folder, error) from error
