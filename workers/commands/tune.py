"""`metaopt tune`: hyper-parameters by their gradient, from a configuration file to checkpoints."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import jax
import numpy as np
import tyro

from metaopt import checkpoint, hyperparameters
from metaopt.hyperparameter_training import Training
from taskset.whole_files import write_durably
from workers.commands import run
from workers.commands.own_code import own_training
from workers.commands.run import RunCommand
from workers.run_folder import HYPERPARAMETERS, RunFolder
from workers.tune_config import TuneConfig

# Who writes the command may name a training of their own, which is imported.
SCHEMA = TuneConfig.schema._replace(own={Training: own_training})


@dataclasses.dataclass(frozen=True)
class Tune(RunCommand):
    """Tunes the hyper-parameters of a training run, as `metaopt train` trains an optimizer.

    metaopt tune FILE is metaopt tune --config FILE. Every key of the file is a flag too.

    problem.training.kind may be "module:Class", a Training of your own in the working folder.

    The hyper-parameters of the last outer step are in hyperparameters.json of the run folder.
    """

    configuration = TuneConfig
    name = "tune"

    settings: Annotated[TuneConfig, tyro.conf.arg(name="")] = TuneConfig()

    def result(self, folder: RunFolder) -> Sequence[str]:
        newest = checkpoint.newest(folder.checkpoints)
        tuned = self.settings.problem.hyperparameters()
        like = jax.eval_shape(lambda: hyperparameters.start(tuned, jax.random.key(0)))
        meta_params = checkpoint.load(newest, {"meta_params": like})["meta_params"]
        values = {
            name: np.asarray(value)
            for name, value in self.settings.problem.values(meta_params).items()
        }
        path = folder.path / HYPERPARAMETERS
        listed = {name: value.tolist() for name, value in values.items()}
        write_durably(path, (json.dumps(listed) + "\n").encode())
        return [*_summary(values), f"hyper-parameters: {path}"]


def parse(arguments: Sequence[str], prog: str) -> Tune:
    """The command that `arguments` describe: the defaults, then the file, then the flags."""
    if arguments and not arguments[0].startswith("-"):
        arguments = ["--config", *arguments]
    return run.parse(Tune, arguments, prog, schema=SCHEMA)


def _summary(values: Mapping[str, np.ndarray]) -> list[str]:
    def text(value: np.ndarray) -> str:
        if value.size == 1:
            return f"{float(value.reshape(())):.4g}"
        return f"{value.min():.4g} to {value.max():.4g}, mean {value.mean():.4g}"

    return [f"{name}: {text(value)}" for name, value in values.items()]
