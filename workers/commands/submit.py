"""`metaopt submit`: a run as a job of a Ray cluster somewhere else."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskset.errors import InputError
from workers import flags, job_submission
from workers.commands import train, tune
from workers.commands.run import RunCommand
from workers.commands.table import print_record
from workers.job_submission import Begun, Resumed
from workers.jobs import Jobs
from workers.remote_folder import is_url

RUNS = {"train": train.parse, "tune": tune.parse}

HELP = """usage: metaopt submit [train | tune] --out FOLDER [--config FILE] [flags of the command]
       metaopt submit --resume FOLDER

Starts a run as a job of a Ray cluster, and prints its submission, for status, logs and stop.

FOLDER is the run folder on the cluster, with its whole path, or a URL: the folder that a job starts
in is deleted. The configuration is checked here, and the whole of it, with all flags in it, goes
to the cluster. There the learner runs where the dashboard is, and workers wherever Ray has place.

--address URL        of the dashboard; by default RAY_API_SERVER_ADDRESS or http://127.0.0.1:8265
--working-dir DIR    files that the configuration names, at most 20 MiB; without keys and tokens
--json               print JSON

The token is that of RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token, where RAY_AUTH_MODE
is token. Exit status: 0 when the cluster has taken the job, 2 when something is wrong.
"""


@dataclasses.dataclass(frozen=True)
class Submit:
    """A run to start on a cluster."""

    command: RunCommand | None  # to train or tune; None when a run goes on
    folder: str  # of the run, on the cluster
    address: str | None = None  # of the dashboard
    working_dir: Path | None = None
    json: bool = False

    def run(self) -> int:
        """Prints the submission, and where the run is."""
        submission, left_out = job_submission.submit(Jobs(self.address), self.job, self.working_dir)
        record = {
            "submission": submission,
            "run": self.folder,
            "entrypoint": self.job.entrypoint,
            "left out": left_out,
        }
        print_record(record, self.json)
        if not self.json:
            print(f"next: metaopt logs {submission} --follow, metaopt stop {submission}")
        return 0

    @property
    def job(self) -> Begun | Resumed:
        """What the cluster starts."""
        if self.command is None:
            return Resumed(self.folder)
        return Begun(self.command.name, self.command.settings.to_toml(), self.folder)


def parse(arguments: Sequence[str], prog: str) -> Submit:
    """The job that `arguments` describe; its configuration is checked as that of a run here."""
    if "--help" in arguments or "-h" in arguments:
        print(HELP, end="")
        sys.exit(0)
    name, rest = "train", list(arguments)
    if rest and rest[0] in RUNS:
        name = rest.pop(0)
    own, rest = flags.take(rest, "address|working-dir|out|resume")
    options: dict[str, Any] = {
        "address": own.get("address"),
        "working_dir": Path(own["working-dir"]) if "working-dir" in own else None,
        "json": "--json" in rest,
    }
    rest = [argument for argument in rest if argument != "--json"]
    if "resume" in own:
        if "out" in own or rest:
            raise InputError(
                "--resume goes on with a run of the cluster as it is; leave out the other flags"
            )
        return Submit(None, _whole_path("--resume", own["resume"]), **options)
    folder = _whole_path("--out", own.get("out", ""))
    return Submit(_command(name, rest, prog), folder, **options)


def _command(name: str, rest: list[str], prog: str) -> RunCommand:
    """The run, on the cluster that its job is a part of."""
    if any(flag.startswith(("--workers.pool", "--workers.address")) for flag in rest):
        raise InputError("workers of a job are in the cluster of the job; leave out where they are")
    command = RUNS[name]([*rest, "--workers.pool", "ray", "--workers.address", "auto"], prog)
    if command.dry_run or command.step is not None:
        raise InputError(f"--dry-run and --step are not for a job; `metaopt {name}` has them")
    return command


def _whole_path(flag: str, folder: str) -> str:
    if not folder.startswith("/") and not is_url(folder):
        raise InputError(
            f"{flag} is {folder!r}; give the whole path of the run folder on the cluster, such as "
            "/runs/digits, or a URL: the folder that a job starts in is deleted with it"
        )
    return folder
