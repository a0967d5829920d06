"""`metaopt train`: meta-training, from a configuration file to checkpoints."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

from metaopt import checkpoint
from workers.commands import run
from workers.commands.run import RunCommand
from workers.config import RunConfig
from workers.run_folder import RunFolder

SHORT = {"--outer-optimizer": "--learner.optimizer.path"}  # flags with another name besides


@dataclasses.dataclass(frozen=True)
class Train(RunCommand):
    """Meta-trains a learned optimizer.

    Every key of the configuration file is a flag too, and a flag wins over the file; `kind` is one
    for each table that has it, as --estimator.kind TruncatedES.

    SIGTERM and Ctrl-C end the run after the outer step in progress, with a checkpoint and status
    143 or 130; a second Ctrl-C ends it at once. --resume goes on from a checkpoint.

    --outer-optimizer PATH is --learner.optimizer.path PATH: self-training.
    """

    configuration = RunConfig
    name = "train"

    settings: Annotated[RunConfig, tyro.conf.arg(name="")] = RunConfig()

    def result(self, folder: RunFolder) -> Sequence[str]:
        return (
            f"best checkpoint: {checkpoint.best(folder.checkpoints)}",
            f"next: metaopt evaluate {folder.path}, metaopt export {folder.path} --out DIR",
        )


def parse(arguments: Sequence[str], prog: str) -> Train:
    """The command that `arguments` describe: the defaults, then the file, then the flags."""
    given: dict[str, Any] = {}
    if any(argument.startswith("--mixture.") for argument in arguments):
        given["mixture"] = {}  # its flags exist where there is a mixture to change
    return run.parse(Train, _spelled_out(arguments), prog, given)


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    parts = (argument.partition("=") for argument in arguments)
    return ["".join((SHORT.get(name, name), equals, value)) for name, equals, value in parts]
