"""`metaopt runs`: what became of the runs in a folder, and copies of those elsewhere."""

import dataclasses
import json
import time
import tomllib
from pathlib import Path
from typing import Annotated, Any

import tyro

from workers import run_status
from workers.commands.table import print_records
from workers.service.liveness import is_held, runs_here
from workers.service.states import Look, Progress, derive

# JAX is imported by `run`, not before: help is instant.

TAIL_BYTES = 2**18  # of the records, which are read from the end


@dataclasses.dataclass(frozen=True)
class RunsList:
    """Lists the runs in a folder, by what is in theirs: no service has to know of them.

    States are those of `metaopt serve`: running, stalled, succeeded, failed, stopped, or lost, that
    is, gone without a word; and unreadable. What has a checkpoint can be resumed.

    Exit status: 0; 2 when there is no such folder.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = Path("runs")
    server: str | None = None  # URL of a service, whose runs are listed instead
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per run, the one that wrote last at the end."""
        if self.server is not None:
            from workers.commands import served_runs

            served_runs.print_list(self.server, self.json)
            return 0
        from taskset.errors import InputError
        from workers.run_folder import RunFolder

        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder; give that in which runs are")
        folders = [RunFolder(p) for p in self.folder.iterdir() if not p.is_symlink()]
        records = [_record(folder) for folder in folders if folder.config.is_file()]
        print_records(sorted(records, key=lambda r: -r["age"]), self.json)
        return 0


@dataclasses.dataclass(frozen=True)
class RunsDownload:
    """Copies a run at a URL into a folder, for `metaopt evaluate` and `metaopt export`.

    Checkpoints that are not whole there are left out.
    """

    url: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="URL")]
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]

    def run(self) -> int:
        """Returns 0."""
        from workers import remote_folder

        remote_folder.download(self.url, self.folder)
        print(f"copied {self.url} to {self.folder}")
        return 0


@dataclasses.dataclass(frozen=True)
class RunsScale:
    """Lets a run go on with fewer workers, or with more again, up to its workers.number.

    From its next outer step on. The machines of those that it lets go are free.
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    number: Annotated[int, tyro.conf.Positional, tyro.conf.arg(metavar="WORKERS")]
    server: str | None = None  # URL of a service, one of whose runs RUN is

    def run(self) -> int:
        """Returns 0; raises `InputError` for a number that the run cannot have."""
        if self.server is not None:
            from workers.commands import served_runs

            served_runs.scale(self.server, str(self.folder), self.number)
        else:
            scale(self.folder, self.number)
        print(f"{self.folder} goes on with {self.number} workers")
        return 0


def scale(path: Path, number: int) -> None:
    """Asks the run in `path` to go on with `number` workers; `InputError` when it cannot."""
    from workers import run_folder
    from workers.pool import check_size

    folder = run_folder.open_existing(path)
    table = tomllib.loads(folder.config.read_text(encoding="utf-8"))
    check_size(number, table["workers"]["number"])
    run_folder.want_workers(folder, number)


def _record(folder: Any) -> dict[str, Any]:
    """What is known of one run; `age` are seconds since it wrote something."""
    from metaopt import checkpoint

    now = time.time()
    written = max(p.stat().st_mtime for p in (folder.metrics, folder.config) if p.exists())
    records = _last_records(folder.metrics)
    num_steps = _num_steps(folder.config)
    step = records[-1]["step"] if records else 0
    longest = max((record["seconds"] for record in records), default=0.0)
    state = "unreadable"
    if num_steps is not None:
        state = _state(folder.path, Progress(step, num_steps, written, longest), now)
    saved = checkpoint.steps(folder.checkpoints)
    return {
        "run": str(folder.path),
        "state": state,
        "outer step": step,
        "of": num_steps,
        "checkpoint": saved[-1] if saved else None,
        "meta-loss": records[-1]["meta_loss"] if records else None,
        "age": max(0.0, now - written),
    }


def _state(folder: Path, progress: Progress, now: float) -> str:
    status = run_status.read(folder)
    look = Look(runs_here(status) if status else None, is_held(folder / run_status.LOCK))
    return derive(status, None, progress, look, now).state.value


def _num_steps(config: Path) -> int | None:
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))["learner"]["num_steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _last_records(metrics: Path) -> list[dict[str, Any]]:
    """The last records, without one that is cut off at either end."""
    try:
        with metrics.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().split(b"\n")[1 if size > TAIL_BYTES else 0 : -1]
        records = [json.loads(line) for line in lines[-10:]]
        return [{key: r[key] for key in ("step", "seconds", "meta_loss")} for r in records]
    except (OSError, ValueError, KeyError, TypeError):
        return []
