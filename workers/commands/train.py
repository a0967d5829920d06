"""`metaopt train`: meta-training, from a configuration file to checkpoints."""

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.text import Text

from metaopt import checkpoint, telemetry
from metaopt.learner import OuterState
from taskset.errors import InputError
from workers import config, flags, plan, run_folder, strict_toml, training
from workers.config import SCHEMA, RunConfig
from workers.interrupts import Interrupts
from workers.pool import Pool
from workers.progress import progress
from workers.run_folder import RunFolder
from workers.validation import Best

# What may be otherwise when a run goes on; all the rest makes it what it is.
CHANGEABLE = ("learner.num_steps", "workers.pool", "workers.address", "checkpoint", "validation")

SHORT = {"--outer-optimizer": "--learner.optimizer.path"}  # flags with another name besides

LABEL_WIDTH = 13  # of the plan


@dataclasses.dataclass(frozen=True)
class Train:
    """Meta-trains a learned optimizer.

    Every key of the configuration file is a flag too, and a flag wins over the file; `kind` is one
    for each table that has it, as --estimator.kind TruncatedES.

    SIGTERM and Ctrl-C end the run after the outer step in progress, with a checkpoint and status
    143 or 130; a second Ctrl-C ends it at once. --resume goes on from a checkpoint.

    --outer-optimizer PATH is --learner.optimizer.path PATH: self-training.
    """

    config: Path | None = None  # TOML file
    out: Path | None = None  # run folder to make; runs/NAME-TIME by default
    resume: Path | None = None  # run folder to go on with, by its own configuration
    step: int | None = None  # with --resume: of the checkpoint; the newest by default
    dry_run: bool = False  # measure one estimate, print the plan, and stop
    settings: Annotated[RunConfig, tyro.conf.arg(name="")] = RunConfig()

    def run(self) -> int:
        """Trains; prints the plan, the progress, and where the result is."""
        console = Console()
        if self.step is not None and not self.resume:
            raise InputError("--step goes with --resume")
        if self.out and self.resume:
            raise InputError("--resume goes on in the folder of the run; leave out --out")
        if self.dry_run:
            _print(console, plan.describe(self.settings))
            _print(console, plan.describe_memory(self.settings))
            _print(console, plan.describe_cost(self.settings, plan.measure(self.settings)))
            return 0
        return self._go_on(console) if self.resume else self._begin(console)

    def _begin(self, console: Console) -> int:
        folder = run_folder.choose(self.out, self.config)
        _print(console, {"run": str(folder.path)} | plan.describe(self.settings))
        with _open_pool(self.settings) as pool:
            start = training.first_state(self.settings)
            run_folder.create(folder, self.settings)
            return self._train(console, folder, pool, start, None)

    def _go_on(self, console: Console) -> int:
        assert self.resume is not None
        folder = run_folder.open_existing(self.resume)
        saved = folder.checkpoints
        path = checkpoint.newest(saved) if self.step is None else checkpoint.at(saved, self.step)
        _print(console, {"run": str(path)} | plan.describe(self.settings))
        with _open_pool(self.settings) as pool:
            start, best = training.restore(self.settings, path, pool)
            run_folder.discard_after(folder, start.step)
            run_folder.write_config(folder, self.settings)
            return self._train(console, folder, pool, start, best)

    def _train(
        self, console: Console, folder: RunFolder, pool: Pool, start: OuterState, best: Best | None
    ) -> int:
        _print(console, plan.describe_memory(self.settings))
        # While workers start. What is compiled here, workers of this machine find in the cache.
        _print(console, plan.describe_cost(self.settings, plan.measure(self.settings)))
        with contextlib.ExitStack() as stack:
            sinks = [
                stack.enter_context(contextlib.closing(sink))
                for sink in (
                    telemetry.JsonLines(folder.metrics, start.step),
                    telemetry.TensorBoard(folder.tensorboard, start.step),
                    progress(self.settings.learner.num_steps, console),
                )
            ]
            run = training.Training(self.settings, folder, pool, sinks, best)
            interrupts = run.run(start)
        _print_end(console, folder, interrupts)
        return interrupts.exit_code


def parse(arguments: Sequence[str], prog: str) -> Train:
    """The command that `arguments` describe: the defaults, then the file, then the flags."""
    first, rest = flags.take(_spelled_out(arguments), r"config|resume|(.+\.)?kind")
    file, resume = (
        Path(first.pop(name)) if name in first else None for name in ("config", "resume")
    )
    if file and resume:
        raise InputError("--resume takes the configuration of the run; leave out --config")
    path = run_folder.open_existing(resume).config if resume else file
    if any(argument.startswith("--mixture.") for argument in rest):
        first.setdefault("mixture", {})  # its flags exist where there is a mixture to change
    settings = config.load(path, first) if path else config.from_table({}, first)
    default = Train(config=file, resume=resume, settings=settings)
    command = flags.parse(Train, rest, prog, default)
    if resume and path:
        _check_unchanged(config.load(path), command.settings)
    return command


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    parts = (argument.partition("=") for argument in arguments)
    return ["".join((SHORT.get(name, name), equals, value)) for name, equals, value in parts]


def _check_unchanged(before: RunConfig, after: RunConfig) -> None:
    """Raises `InputError` when a run would go on as another one."""
    old, new = (dict(_flat(strict_toml.to_table(c, SCHEMA))) for c in (before, after))
    for key in old | new:
        if old.get(key) != new.get(key) and not key.startswith(CHANGEABLE):
            raise InputError(
                f"--resume goes on with {key} = {old.get(key)!r}, not {new.get(key)!r}; "
                f"what may change is {', '.join(CHANGEABLE)}"
            )


def _flat(table: dict[str, Any], at: str = "") -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, value in table.items():
        items += _flat(value, f"{at}{key}.") if isinstance(value, dict) else [(f"{at}{key}", value)]
    return items


def _open_pool(settings: RunConfig) -> Pool:
    specs = training.worker_specs(settings)
    asynchronous = settings.workers.mode == "asynchronous"
    if settings.workers.pool == "in-process":
        from workers.local import InProcessPool

        return InProcessPool(specs)
    if settings.workers.pool == "process":
        from workers.local import ProcessPool

        return ProcessPool(specs, asynchronous=asynchronous)
    from workers.ray_pool import RayPool

    return RayPool(specs, settings.workers.address, asynchronous=asynchronous)


def _print(console: Console, plan: dict[str, str]) -> None:
    for label, text in plan.items():
        indented = text.replace("\n", "\n" + " " * LABEL_WIDTH)
        console.print(Text.assemble((label.ljust(LABEL_WIDTH), "bold"), indented), soft_wrap=True)


def _print_end(console: Console, folder: RunFolder, interrupts: Interrupts) -> None:
    show = lambda text: console.print(text, highlight=False, soft_wrap=True)
    if interrupts.received:
        show(f"stopped by {interrupts.received.name}; metaopt train --resume {folder.path} goes on")
        return
    show(f"best checkpoint: {checkpoint.best(folder.checkpoints)}")
    show(f"next: metaopt evaluate {folder.path}, metaopt export {folder.path} --out DIR")
