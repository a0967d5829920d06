"""The folder of a run, and where everything in it lies.

config.toml      the resolved configuration; `metaopt train --config`, or tune, runs it again
metrics.jsonl    one record per outer step
tensorboard/     the same for TensorBoard
checkpoints/     to go on from, and to evaluate and export
hyperparameters.json   of `metaopt tune`: what it came to
"""

import contextlib
import os
import shutil
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

import jax

from metaopt import checkpoint
from metaopt.learned_optimizers.base import MetaParams
from taskset.errors import InputError
from workers.base_config import BaseConfig
from workers.config import RunConfig

RUNS = Path("runs")
HYPERPARAMETERS = "hyperparameters.json"


class RunFolder(NamedTuple):
    """The paths of a run."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

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
    """Writes the configuration, or replaces it when the run goes on with another."""
    partial = folder.config.with_suffix(".part")
    checkpoint.write_durably(partial, run.to_toml().encode())
    partial.replace(folder.config)


def open_existing(path: Path) -> RunFolder:
    """The folder of a run that was made before. Raises `InputError` when `path` is none."""
    folder = RunFolder(path)
    if not folder.config.is_file():
        raise InputError(f"{path} is not a run: it has no {folder.config.name}")
    return folder


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
        if _is_tuning(folder):
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


def _is_tuning(folder: RunFolder) -> bool:
    try:
        table = tomllib.loads(folder.config.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return "training" in table.get("problem", {})


def discard_after(folder: RunFolder, step: int) -> None:
    """Deletes the checkpoints of later steps: the run goes on from `step`, and makes them anew."""
    for later in checkpoint.steps(folder.checkpoints):
        if later > step:
            shutil.rmtree(checkpoint.at(folder.checkpoints, later))
