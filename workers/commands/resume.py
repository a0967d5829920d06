"""`metaopt resume`: a run goes on, whichever command began it."""

from collections.abc import Sequence
from pathlib import Path

from taskset.errors import InputError
from workers import run_folder
from workers.commands import train, tune
from workers.commands.run import RunCommand
from workers.remote_folder import RemoteFolder, is_url


def parse(arguments: Sequence[str], prog: str) -> RunCommand:
    """`metaopt train --resume RUN` or tune, of `metaopt resume RUN`; other flags are theirs."""
    if arguments and arguments[0] in ("-h", "--help"):
        return train.parse(arguments, prog)
    if not arguments or arguments[0].startswith("-"):
        raise InputError("`metaopt resume` needs a run folder: metaopt resume runs/latest")
    place, *rest = arguments
    began = tune if run_folder.is_tuning(_config(place)) else train
    return began.parse(["--resume", place, *rest], prog)


def _config(place: str) -> bytes:
    if is_url(place):
        return RemoteFolder(place).config()
    return run_folder.open_existing(Path(place)).config.read_bytes()
