"""Run folders at a URL: a copy of one on this machine, which at every moment is good to go on from.

    s3://bucket/runs/one/config.toml
                         metrics.jsonl
                         checkpoints/step_000120/arrays.safetensors, manifest.json, COMMIT

Object stores cannot rename. So the files of a checkpoint go first and COMMIT last, and what has no
COMMIT is not there; what is deleted loses its COMMIT first. Any file system that fsspec knows will
do: `pip install s3fs`, `gcsfs` or `adlfs` for those of the clouds.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metaopt import checkpoint
from taskset.errors import InputError
from workers import run_folder, run_status
from workers.run_folder import RunFolder

COPIES = Path.home() / ".cache" / "metaopt" / "runs"
COMMIT = "COMMIT"
SIGNS = (run_status.STATUS, run_status.WORKERS)
# Files beside the checkpoints.
LOOSE = ("config.toml", "metrics.jsonl", "hyperparameters.json", *SIGNS)


def is_url(place: str) -> bool:
    """Whether `place` names a folder on another file system."""
    return "://" in place


def copy_of(url: str) -> Path:
    """Where the copy of a run at `url` is, or is going to be, on this machine."""
    name = f"{url.rstrip('/').rpartition('/')[2]}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
    return COPIES / name


def download(url: str, folder: Path) -> None:
    """Copies the run at `url` to `folder`, which it makes.

    Raises `InputError` when there is no run at `url`, it cannot be read, or the folder exists.
    """
    remote = RemoteFolder(url)
    remote.check_has_run()
    if folder.exists():
        raise InputError(f"{folder} exists; give a folder to make")
    try:
        remote.download(folder)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"cannot copy {url} to {folder}: {error}") from error


def open_copy(url: str) -> Path:
    """Makes the copy on this machine what the run at `url` is, and returns it.

    Raises `InputError` as `download` does, and when another process trains in the copy.
    """
    folder = _without_copy(url)
    download(url, folder)
    return folder


def new_copy(url: str) -> Path:
    """Where to begin a run that is to be at `url`.

    Raises `InputError` when there is one already, or another process trains in its copy.
    """
    if RemoteFolder(url).has_run():
        raise InputError(f"there is a run at {url}; give another --out, or --resume {url}")
    return _without_copy(url)


def _without_copy(url: str) -> Path:
    folder = copy_of(url)
    if folder.exists():
        with run_folder.held(RunFolder(folder)):
            shutil.rmtree(folder)
    return folder


class RemoteFolder:
    """The run at a URL."""

    def __init__(self, url: str):
        """Raises `InputError` when the file system of `url` is not known or not installed."""
        import fsspec

        self.url = url.rstrip("/")
        try:
            self._files, root = fsspec.url_to_fs(self.url)
        except (ImportError, ValueError) as error:
            raise InputError(f"cannot reach {url}: {error}") from error
        self._root = root.rstrip("/")

    def has_run(self) -> bool:
        """Whether a run is there. Raises `InputError` when that cannot be found out."""
        try:
            return self._files.exists(f"{self._root}/{LOOSE[0]}")
        except OSError as error:
            raise InputError(f"cannot read {self.url}: {error}") from error

    def check_has_run(self) -> None:
        """Raises `InputError` when no run is there, or that cannot be found out."""
        if not self.has_run():
            raise InputError(f"there is no run at {self.url}: it has no {LOOSE[0]}")

    def config(self) -> bytes:
        """The configuration of the run. Raises `InputError` when there is none."""
        self.check_has_run()
        try:
            return self._files.cat_file(f"{self._root}/{LOOSE[0]}")
        except OSError as error:
            raise InputError(f"cannot read {self.url}: {error}") from error

    def upload(self, folder: Path) -> None:
        """Brings the run there to what it is in `folder`. Raises `OSError` when it cannot."""
        self._files.makedirs(self._root, exist_ok=True)
        there = self._steps()
        here = set(checkpoint.steps(folder / "checkpoints"))
        for step in sorted(here - there):
            self._upload_checkpoint(checkpoint.at(folder / "checkpoints", step))
        self._upload_files(folder, LOOSE)
        for step in there - here:
            self._delete(f"{self._root}/checkpoints/step_{step:06d}")

    def upload_status(self, folder: Path) -> None:
        """Copies there what the run says of itself. Raises `OSError` when it cannot."""
        self._upload_files(folder, SIGNS)

    def download(self, folder: Path) -> None:
        """Copies all that is whole there into `folder`. Raises `OSError` when it cannot."""
        folder.mkdir(parents=True)
        for step in self._steps():
            name = f"checkpoints/step_{step:06d}"
            (folder / name).mkdir(parents=True)
            for file in (checkpoint.ARRAYS, checkpoint.MANIFEST):
                content: Any = self._files.cat_file(f"{self._root}/{name}/{file}")
                (folder / name / file).write_bytes(content)
        for name in LOOSE:
            if self._files.exists(f"{self._root}/{name}"):
                (folder / name).write_bytes(self._files.cat_file(f"{self._root}/{name}"))

    def _steps(self) -> set[int]:
        """Those of the checkpoints there that are whole."""
        self._files.invalidate_cache()
        found = self._files.glob(f"{self._root}/checkpoints/step_*/{COMMIT}")
        return {int(path.split("/")[-2].removeprefix("step_")) for path in found}

    def _upload_files(self, folder: Path, names: Sequence[str]) -> None:
        for name in names:
            if (folder / name).exists():
                self._files.pipe_file(f"{self._root}/{name}", (folder / name).read_bytes())

    def _upload_checkpoint(self, path: Path) -> None:
        there = f"{self._root}/checkpoints/{path.name}"
        self._files.makedirs(there, exist_ok=True)
        for file in (checkpoint.ARRAYS, checkpoint.MANIFEST):
            self._files.pipe_file(f"{there}/{file}", (path / file).read_bytes())
        self._files.pipe_file(f"{there}/{COMMIT}", b"")

    def _delete(self, path: str) -> None:
        self._files.rm_file(f"{path}/{COMMIT}")
        self._files.rm(path, recursive=True)
