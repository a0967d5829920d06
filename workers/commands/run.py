"""What the commands have in common that make outer steps: a run, from a file to checkpoints."""

import abc
import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import tyro
from rich.console import Console
from rich.text import Text

from metaopt import checkpoint, telemetry
from metaopt.learner import OuterState
from taskset.errors import InputError
from workers import flags, plan, remote_folder, run_folder, run_status, training
from workers.base_config import BaseConfig
from workers.interrupts import Interrupts
from workers.pool import Pool
from workers.progress import progress
from workers.remote_folder import RemoteFolder, is_url
from workers.run_folder import RunFolder
from workers.strict_toml import Schema
from workers.validation import Best

# What may be otherwise when a run goes on; all the rest makes it what it is.
CHANGEABLE = ("learner.num_steps", "workers.pool", "workers.address", "checkpoint", "validation")
# Besides, of a run of which workers come and go.
CHANGEABLE_IF_ELASTIC = ("workers.number", "workers.min_number", "workers.min_results")

LABEL_WIDTH = 13  # of the plan


@dataclasses.dataclass(frozen=True)
class RunCommand(abc.ABC):
    """A command whose flags are the keys of its configuration, and these."""

    configuration: ClassVar[type[BaseConfig]]
    name: ClassVar[Literal["train", "tune"]]

    config: Path | None = None  # TOML file
    # run folder to make, runs/NAME-TIME by default; of a URL, as s3://BUCKET/RUN, a copy is here
    out: Path | None = None
    resume: Path | None = None  # run folder or URL to go on with, by its own configuration
    step: int | None = None  # with --resume: of the checkpoint; the newest by default
    dry_run: bool = False  # measure one estimate, print the plan, and stop
    json: bool = False  # with --dry-run: print JSON

    url: tyro.conf.Suppress[str | None] = None  # that the run folder is a copy of

    # The whole configuration; of `configuration`.
    settings: Annotated[BaseConfig, tyro.conf.arg(name="")] = dataclasses.field(kw_only=True)

    @abc.abstractmethod
    def result(self, folder: RunFolder) -> Sequence[str]:
        """What to say, by lines, when the run has come to its end."""

    def run(self) -> int:
        """Trains; prints the plan, the progress, and where the result is."""
        console = Console()
        if self.step is not None and not self.resume:
            raise InputError("--step goes with --resume")
        if self.json and not self.dry_run:
            raise InputError("--json goes with --dry-run")
        if self.dry_run and self.json:
            print(json.dumps(plan.complete(self.settings)._asdict()))
            return 0
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
            with run_folder.held(folder):
                return self._train(console, folder, pool, start, None)

    def _go_on(self, console: Console) -> int:
        assert self.resume is not None
        folder = run_folder.open_existing(self.resume)
        saved = folder.checkpoints
        path = checkpoint.newest(saved) if self.step is None else checkpoint.at(saved, self.step)
        _print(console, {"run": str(path)} | plan.describe(self.settings))
        with run_folder.held(folder), _open_pool(self.settings) as pool:
            start, best = training.restore(self.settings, path, pool)
            run_folder.discard_after(folder, start.step)
            run_folder.replace_config(folder, self.settings)
            return self._train(console, folder, pool, start, best)

    def _train(
        self, console: Console, folder: RunFolder, pool: Pool, start: OuterState, best: Best | None
    ) -> int:
        upload = _uploader(self.url, folder) if self.url else None
        with contextlib.ExitStack() as stack:
            reporter = stack.enter_context(
                run_status.reported(folder.path, pool, self._status_uploader(folder))
            )
            _print(console, plan.describe_memory(self.settings))
            # While workers start. What is compiled here, workers of this machine find in the cache.
            _print(console, plan.describe_cost(self.settings, plan.measure(self.settings)))
            sinks = [
                stack.enter_context(contextlib.closing(sink))
                for sink in (
                    telemetry.JsonLines(folder.metrics, start.step),
                    telemetry.TensorBoard(folder.tensorboard, start.step),
                    progress(self.settings.learner.num_steps, console),
                    *_operations(self.settings),
                )
            ]
            run = training.Training(self.settings, folder, pool, sinks, best, upload)
            interrupts = run.run(start)
            reporter.end("stopped" if run.why_stopped else "succeeded", run.why_stopped)
        self._print_end(console, folder, interrupts)
        return interrupts.exit_code

    def _status_uploader(self, folder: RunFolder) -> Callable[[], None] | None:
        if self.url is None:
            return None
        return functools.partial(RemoteFolder(self.url).upload_status, folder.path)

    def _print_end(self, console: Console, folder: RunFolder, interrupts: Interrupts) -> None:
        received = interrupts.received
        lines = self.result(folder)
        if received:
            again = f"metaopt {self.name} --resume {self.url or folder.path}"
            lines = [f"stopped by {received.name}; {again} goes on"]
        for line in lines:
            console.print(line, highlight=False, soft_wrap=True)


Command = TypeVar("Command", bound=RunCommand)


def parse(
    kind: type[Command],
    arguments: Sequence[str],
    prog: str,
    given: dict[str, Any] = {},
    schema: Schema | None = None,
) -> Command:
    """The command that `arguments` describe: the defaults, then the file, then the flags.

    `given` are values by dotted key that go before those of the file, which is read by `schema`.
    """
    first, rest = flags.take(_spelled_out(arguments), r"config|out|resume|(.+\.)?kind")
    file = Path(first.pop("config")) if "config" in first else None
    if file and "resume" in first:
        raise InputError("--resume takes the configuration of the run; leave out --config")
    if "out" in first and "resume" in first:
        raise InputError("--resume goes on in the folder of the run; leave out --out")
    url = next((first[name] for name in ("out", "resume") if is_url(first.get(name, ""))), None)
    out = _folder(first.pop("out", None), remote_folder.new_copy)
    resume = _folder(first.pop("resume", None), remote_folder.open_copy)
    path = run_folder.open_existing(resume).config if resume else file
    asked = {**given, **first}
    of = kind.configuration
    settings = of.load(path, asked, schema) if path else of.from_table({}, asked, schema)
    default = kind(config=file, out=out, resume=resume, url=url, settings=settings)
    command = flags.parse(kind, rest, prog, default)
    if resume and path:
        _check_unchanged(of.load(path, {}, schema), command.settings)
    return command


def _folder(place: str | None, copy: Callable[[str], Path]) -> Path | None:
    """The folder of a run at `place`; of a URL, its copy here."""
    if place is None:
        return None
    return copy(place) if is_url(place) else Path(place)


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    """`--workers 4:64` is at most 64 workers, of which 4 are enough to begin."""
    taken, rest = flags.take(arguments, "workers")
    for value in taken.values():
        least, colon, most = value.partition(":")
        rest += ["--workers.number", most if colon else value]
        rest += ["--workers.min-number", least] if colon else []
    return rest


def _check_unchanged(before: BaseConfig, after: BaseConfig) -> None:
    """Raises `InputError` when a run would go on as another one."""
    old, new = (dict(_flat(config.to_table())) for config in (before, after))
    is_elastic = before.workers.min_number > 0
    changeable = CHANGEABLE + (CHANGEABLE_IF_ELASTIC if is_elastic else ())
    for key in old | new:
        if old.get(key) != new.get(key) and not key.startswith(changeable):
            hint = "; of a run begun with --workers MIN:MAX, their number"
            hint = hint if key in CHANGEABLE_IF_ELASTIC else ""
            raise InputError(
                f"--resume goes on with {key} = {old.get(key)!r}, not {new.get(key)!r}; "
                f"what may change is {', '.join(changeable)}{hint}"
            )


def _flat(table: dict[str, Any], at: str = "") -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for key, value in table.items():
        items += _flat(value, f"{at}{key}.") if isinstance(value, dict) else [(f"{at}{key}", value)]
    return items


def _open_pool(settings: BaseConfig) -> Pool:
    specs, workers = training.worker_specs(settings), settings.workers
    if workers.pool == "in-process":
        from workers.local import InProcessPool

        return InProcessPool(specs)
    options = {
        "asynchronous": workers.mode == "asynchronous",
        "min_results": workers.min_results,
        "min_workers": workers.min_number,
        "max_worker_bytes": 1e9 * workers.max_memory,
    }
    if workers.pool == "process":
        from workers.local import ProcessPool

        return ProcessPool(specs, **options)
    from workers.ray_pool import RayPool

    return RayPool(specs, workers.address, **options)


def _uploader(url: str, folder: RunFolder) -> Callable[[], None]:
    """What copies the folder to `url`. Does so once: later steps that are there have to go.

    Raises `InputError` when it cannot.
    """
    upload = functools.partial(RemoteFolder(url).upload, folder.path)
    try:
        upload()
    except OSError as error:
        raise InputError(f"cannot write to {url}: {error}") from error
    return upload


def _operations(settings: BaseConfig) -> list[telemetry.Sink]:
    if settings.workers.pool != "ray":
        return []
    from workers.ray_metrics import RayMetrics

    return [RayMetrics()]


def _print(console: Console, plan: dict[str, str]) -> None:
    for label, text in plan.items():
        indented = text.replace("\n", "\n" + " " * LABEL_WIDTH)
        console.print(Text.assemble((label.ljust(LABEL_WIDTH), "bold"), indented), soft_wrap=True)
