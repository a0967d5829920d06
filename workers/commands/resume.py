"""`metaopt resume`: a run goes on, whichever command began it."""

from collections.abc import Sequence
from pathlib import Path

from taskset.errors import InputError
from workers import remote_folder, run_folder
from workers.commands import train, tune
from workers.commands.run import RunCommand


def parse(arguments: Sequence[str], prog: str) -> RunCommand:
    """`metaopt train --resume RUN` or tune, of `metaopt resume RUN`; other flags are theirs."""
    if arguments and arguments[0] in ("-h", "--help"):
        return train.parse(arguments, prog)
    if not arguments or arguments[0].startswith("-"):
        raise InputError("`metaopt resume` needs a run folder: metaopt resume runs/latest")
    place, *rest = arguments
    path = remote_folder.open_copy(place) if remote_folder.is_url(place) else Path(place)
    began = tune if run_folder.is_tuning(run_folder.open_existing(path)) else train
    return began.parse(["--resume", place, *rest], prog)
