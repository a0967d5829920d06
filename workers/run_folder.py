"""The folder of a run, and where everything in it lies.

config.toml      the resolved configuration; `metaopt train --config`, or tune, runs it again
metrics.jsonl    one record per outer step
tensorboard/     the same for TensorBoard
checkpoints/     to go on from, and to evaluate and export
status.json, workers.json   what the run says of itself, see `workers.run_status`
workers_wanted   of `metaopt runs scale`: how many workers to go on with
hyperparameters.json   of `metaopt tune`: what it came to
"""

import contextlib
import fcntl
import os
import shutil
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax

from metaopt import checkpoint
from metaopt.learned_optimizers.base import MetaParams
from taskset import whole_files
from taskset.errors import InputError
from workers.base_config import BaseConfig
from workers.config import RunConfig
from workers.run_status import LOCK

RUNS = Path("runs")
HYPERPARAMETERS = "hyperparameters.json"


class RunFolder(NamedTuple):
    """The paths of a run."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def workers_wanted(self) -> Path:
        return self.path / "workers_wanted"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"


def choose(out: Path | None, config_file: Path | None) -> RunFolder:
    """The folder of a new run: `out`, or one in `runs` named after the configuration and the time.

    Raises `InputError` when it exists.
    """
    stem = config_file.stem if config_file else "run"
    path = out or RUNS / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    if path.exists():
        raise InputError(
            f"run folder {path} exists; give another --out, or go on with it by --resume {path}"
        )
    return RunFolder(path)


def create(folder: RunFolder, run: BaseConfig) -> None:
    """Makes the folder with its configuration; `runs/latest` points to it if it is in `runs`.

    Raises `InputError` when it cannot be made.
    """
    try:
        folder.checkpoints.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"cannot make run folder {folder.path}: {error.strerror}; give another --out"
        ) from error
    write_config(folder, run)
    if folder.path.parent != RUNS:
        return
    pointer = RUNS / f".latest.{os.getpid()}"
    with contextlib.suppress(OSError):  # a convenience; not every file system has links
        pointer.symlink_to(folder.path.name)
        pointer.replace(RUNS / "latest")


def write_config(folder: RunFolder, run: BaseConfig) -> None:
    """Writes the configuration."""
    whole_files.replace(folder.config, run.to_toml().encode())


def replace_config(folder: RunFolder, run: BaseConfig) -> None:
    """Writes the one that a run goes on with; if with other workers, no other number is wanted."""
    before = tomllib.loads(folder.config.read_text()).get("workers", {})
    if before.get("number") != run.workers.number:
        folder.workers_wanted.unlink(missing_ok=True)
    write_config(folder, run)


def want_workers(folder: RunFolder, number: int) -> None:
    """Asks a run that goes on to do so with `number` workers."""
    whole_files.replace(folder.workers_wanted, f"{number}\n".encode())


def wanted_workers(folder: RunFolder) -> int | None:
    """What `want_workers` asked for; None before it ever did."""
    try:
        return int(folder.workers_wanted.read_text())
    except (FileNotFoundError, ValueError):
        return None


def open_existing(path: Path) -> RunFolder:
    """The folder of a run that was made before. Raises `InputError` when `path` is none."""
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise InputError(f"{path} is not a run: it has no {folder.config.name}")
    return folder


@contextlib.contextmanager
def held(folder: RunFolder) -> Iterator[None]:
    """Within it, no other process trains in `folder`. Raises `InputError` when one does already.

    It ends with the process, however that ends.
    """
    with (folder.path / LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"another process trains in {folder.path}; wait for it, or stop it by SIGTERM"
            ) from error
        except OSError:  # a file system without locks
            pass
        yield


class Trained(NamedTuple):
    """What a run has come to."""

    config: RunConfig
    step: int  # outer steps
    meta_params: MetaParams


def load_trained(path: Path, step: int | None = None) -> Trained:
    """The meta-parameters of the run in `path` at `step`, by default at the best checkpoint.

    Raises `InputError` when `path` is no run, or one that tuned hyper-parameters, or the checkpoint
    is missing or damaged.
    """
    folder = open_existing(path)
    try:
        run = RunConfig.load(folder.config)
    except InputError as error:
        if is_tuning(folder.config.read_bytes()):
            raise InputError(
                f"{path} is a run of `metaopt tune`, which trained no optimizer: what it came to "
                f"is in {path / HYPERPARAMETERS}"
            ) from error
        raise
    saved = folder.checkpoints
    chosen = checkpoint.best(saved) if step is None else checkpoint.at(saved, step)
    template = jax.eval_shape(lambda: run.optimizer.init(jax.random.key(0)))
    meta_params = checkpoint.load(chosen, {"meta_params": template})["meta_params"]
    return Trained(run, checkpoint.read_manifest(chosen).step, meta_params)


def is_tuning(config: bytes) -> bool:
    """Whether `metaopt tune` made the run with this configuration."""
    try:
        table = tomllib.loads(config.decode())
    except ValueError:
        return False
    return "training" in table.get("problem", {})


def discard_after(folder: RunFolder, step: int) -> None:
    """Deletes the checkpoints of later steps: the run goes on from `step`, and makes them anew."""
    for later in checkpoint.steps(folder.checkpoints):
        if later > step:
            shutil.rmtree(checkpoint.at(folder.checkpoints, later))
