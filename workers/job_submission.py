"""A run as a job of a Ray cluster: what the job takes with it, and what the cluster starts.

What the cluster starts is always a `metaopt` command line that is made here, whatever is asked for.
"""

import importlib.metadata
import shlex
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from workers.jobs import Jobs
from workers.parcel import pack

CONFIGURATION = "metaopt.toml"


class Begun(NamedTuple):
    """A run that begins."""

    command: Literal["train", "tune"]
    config: str  # the text of its whole configuration
    folder: str  # of the run, on the cluster

    @property
    def entrypoint(self) -> str:
        """The command line of the job."""
        words = ["metaopt", self.command, "--config", CONFIGURATION, "--out", self.folder]
        return shlex.join(words)


class Resumed(NamedTuple):
    """A run that goes on by its own configuration."""

    folder: str  # of the run, on the cluster
    num_steps: int | None = None  # outer steps in all; as before by default

    @property
    def entrypoint(self) -> str:
        """The command line of the job."""
        steps = [] if self.num_steps is None else ["--learner.num-steps", str(self.num_steps)]
        return shlex.join(["metaopt", "resume", self.folder, *steps])


class Submitted(NamedTuple):
    """What the cluster has taken."""

    submission: str
    left_out: tuple[str, ...]  # files of the working folder


def submit(
    jobs: Jobs,
    run: Begun | Resumed,
    working_dir: Path | None = None,
    submission: str | None = None,
) -> Submitted:
    """Starts the job, with the files of `working_dir` and its configuration.

    It has the name `submission`, or one that Ray makes. Raises `InputError` as `Jobs.submit` and
    `parcel.pack` do.
    """
    metadata = {"run": run.folder, "metaopt": importlib.metadata.version("metaopt")}
    with tempfile.TemporaryDirectory(prefix="metaopt-") as path:
        folder = Path(path)
        left_out = pack(working_dir, folder) if working_dir else ()
        if isinstance(run, Begun):
            (folder / CONFIGURATION).write_text(run.config, encoding="utf-8")
        takes_any = working_dir or isinstance(run, Begun)
        taken = jobs.submit(run.entrypoint, folder if takes_any else None, metadata, submission)
    return Submitted(taken, left_out)
