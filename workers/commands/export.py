"""`metaopt export`: a trained optimizer as a folder that `metaopt.load` reads."""

import dataclasses
import importlib.metadata
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import tyro

from metaopt import exports, model_card
from metaopt.checkpoint import LIBRARIES
from taskset.errors import InputError
from taskset.whole_files import new_folder
from workers import run_folder
from workers.commands.evaluate import written_reports

# It is read as text: what it imports is there where submissions run.
SUBMISSION = Path(exports.__file__).with_name("algoperf_submission.py")


@dataclasses.dataclass(frozen=True)
class Export:
    """Writes the best checkpoint of a run as an export, with the evaluations of the run.

    The evaluations are those that `metaopt evaluate` has written of this very checkpoint; run it
    first.
    """

    path: tyro.conf.Positional[Path]  # run folder
    out: Path  # folder to make
    checkpoint: int | None = None  # outer step of the checkpoint; the best by default
    format: Literal["metaopt", "algoperf"] = "metaopt"  # algoperf: a submission folder for it

    def run(self) -> int:
        """Prints where the export is and, but for AlgoPerf, five lines that use it; returns 0."""
        exports.check_new(self.out)
        trained = run_folder.load_trained(self.path, self.checkpoint)
        num_steps = trained.config.horizon.bounds()[1]
        write = lambda path: exports.export(
            path,
            trained.config.optimizer,
            trained.meta_params,
            provenance=provenance(trained),
            evaluations=written_reports(self.path, trained.meta_params),
        )
        if self.format == "algoperf":
            written_submission(self.out, write)
        else:
            write(self.out)
        print(f"exported outer step {trained.step} of {self.path} to {self.out}\n")
        if self.format == "metaopt":
            print(model_card.snippet(str(self.out), num_steps), end="")
        return 0


def written_submission(out: Path, write: Callable[[Path], Path]) -> Path:
    """A folder for AlgoPerf: `write` writes the export in it, `submission.py` uses it.

    Returns the folder. Raises `InputError` where it cannot be written, and leaves nothing.
    """
    try:
        with new_folder(out) as folder:
            write(folder / "export")
            shutil.copyfile(SUBMISSION, folder / "submission.py")
    except OSError as error:
        raise InputError(f"cannot write submission {out}: {error.strerror}") from error
    return out


def provenance(trained: run_folder.Trained) -> dict[str, Any]:
    """Where a trained optimizer comes from, as JSON values."""
    components = trained.config.components
    return {
        "tasks": list(trained.config.held_out_tasks("test")),
        **({"families": list(components)} if components else {}),
        "num_steps": trained.config.horizon.bounds()[1],
        "outer_steps": trained.step,
        "inner_steps": trained.step * trained.config.inner_steps,
        "seed": trained.config.seed,
        "exported": time.strftime("%Y-%m-%d", time.gmtime()),
        "git_commit": _git_commit(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "configuration": trained.config.to_toml(),
    }


def _git_commit() -> str | None:
    """The commit of the code, where it runs from a clone."""
    file = Path(__file__)
    # That it knows this file tells a clone from a repository that merely contains the environment.
    command = ["git", "-C", str(file.parent), "rev-parse", "HEAD", f"HEAD:./{file.name}"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.split()[0]
