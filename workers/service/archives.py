"""Exports as archives: what `metaopt export` writes, of a run that may still train."""

import tempfile
import zipfile
from pathlib import Path

from taskset.errors import InputError
from workers.service.children import Children

SECONDS = 300.0
TRIES = 2  # a run that trains may delete the checkpoint that is being read


class Archives:
    """Makes one at a time."""

    def __init__(self, root: str, seconds: float = SECONDS):
        """`root` is the folder, or the URL, that the runs are in."""
        self._root, self._children = root.rstrip("/"), Children(seconds)

    def make(self, run: str, step: int | None, into: Path) -> Path:
        """RUN.zip in the folder `into`, of the checkpoint at `step` or the best one.

        Raises `InputError` where there is no such checkpoint, and as `Children.output`.
        """
        with tempfile.TemporaryDirectory(prefix="metaopt-export-", dir=into) as folder:
            source = self._local(run, Path(folder))
            out = Path(folder, "export", run)
            out.parent.mkdir()
            at = [] if step is None else ["--checkpoint", str(step)]
            self._export([source, "--out", str(out), *at])
            archive = into / f"{run}.zip"
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
                for path in sorted(out.rglob("*")):
                    files.write(path, path.relative_to(out.parent))
        return archive

    def _local(self, run: str, folder: Path) -> str:
        place = f"{self._root}/{run}"
        if "://" not in place:
            return place
        copy = str(folder / "run")
        self._children.output(["runs", "download", place, copy])
        return copy

    def _export(self, arguments: list[str]) -> None:
        for attempt in range(TRIES):
            try:
                self._children.output(["export", *arguments])
                return
            except InputError:
                if attempt == TRIES - 1:
                    raise
