"""`metaopt runs … --server URL`: runs through the service, from a terminal."""

import dataclasses
import json
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any

import tyro

from metaopt.client import Client
from metaopt.client.models import Run, RunSummary, State, Value
from taskset.errors import InputError
from workers.commands.table import print_record, print_records

VARIABLE = "METAOPT_SERVER"
SERVER = "http://127.0.0.1:8700"
ENDED = (State.SUCCEEDED, State.FAILED, State.STOPPED, State.LOST)

RunArgument = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]


@dataclasses.dataclass(frozen=True)
class Served:
    """What these commands have in common. The token is that of METAOPT_SERVICE_TOKEN."""

    server: str | None = None  # URL; by default METAOPT_SERVER or http://127.0.0.1:8700
    json: bool = False  # print JSON

    @property
    def client(self) -> Client:
        """The way to the service."""
        return Client(self.server or os.environ.get(VARIABLE, SERVER))

    def print_run(self, run: Run) -> int:
        """Prints a run; returns 0."""
        if self.json:
            print(run.model_dump_json(indent=2))
        else:
            print_record(row(run) | {"reason": run.reason or None})
        return 0


@dataclasses.dataclass(frozen=True)
class RunsShow(Served):
    """Shows a run of a service."""

    run_name: RunArgument = dataclasses.field(kw_only=True)

    def run(self) -> int:
        """Prints one row per fact."""
        return self.print_run(self.client.run(self.run_name))


@dataclasses.dataclass(frozen=True)
class RunsStart(Served):
    """Starts a run through a service, from one of its recipes or like another run.

    metaopt runs start --recipe digits --set seed=1 estimator.num_tasks=8
    """

    recipe: str | None = None
    clone_of: str | None = None  # run to start one like
    name: str | None = None  # of the run; that of the recipe and the time by default
    set: tuple[str, ...] = ()  # key=value, with keys of the configuration
    dry_run: bool = False  # only show what it would take
    key: str | None = None  # idempotency key: the same key gives the same run

    def run(self) -> int:
        """Prints the run, or the plan."""
        asked = {"recipe": self.recipe, "clone_of": self.clone_of, "overrides": self.overrides}
        if not self.dry_run:
            return self.print_run(self.client.start(**asked, name=self.name, key=self.key))
        plan = self.client.plan(**asked)
        if self.json:
            print(plan.model_dump_json(indent=2))
        else:
            cost = {} if plan.cost is None else {"cost": f"{plan.cost:.3g} {plan.currency}"}
            print_record({**plan.text, "core hours": plan.core_hours, **cost})
        return 0

    @property
    def overrides(self) -> dict[str, Value]:
        """What `set` says. Raises `InputError` for what is not key=value."""
        pairs = [setting.partition("=") for setting in self.set]
        for setting, (key, equals, _) in zip(self.set, pairs, strict=True):
            if not (key and equals):
                raise InputError(f"--set {setting} is not key=value, as estimator.num_tasks=8")
        return {key: _value(text) for key, _, text in pairs}


@dataclasses.dataclass(frozen=True)
class RunsStop(Served):
    """Asks a run of a service to end after the outer step in progress, with a checkpoint."""

    run_name: RunArgument = dataclasses.field(kw_only=True)

    def run(self) -> int:
        """Prints the run."""
        return self.print_run(self.client.stop(self.run_name))


@dataclasses.dataclass(frozen=True)
class RunsResume(Served):
    """Has a run of a service go on from its newest checkpoint."""

    run_name: RunArgument = dataclasses.field(kw_only=True)
    num_steps: int | None = None  # outer steps in all

    def run(self) -> int:
        """Prints the run."""
        return self.print_run(self.client.resume(self.run_name, self.num_steps))


@dataclasses.dataclass(frozen=True)
class RunsExport(Served):
    """Downloads the export of a run of a service, for `metaopt.load`."""

    run_name: RunArgument = dataclasses.field(kw_only=True)
    out: Path = dataclasses.field(kw_only=True)  # folder to make
    step: int | None = None  # outer step of the checkpoint; the best by default

    def run(self) -> int:
        """Prints the lines that use it."""
        client = self.client
        path = client.export(self.run_name, self.out, self.step)
        snippet = client.run(self.run_name).snippet.replace(repr(self.run_name), repr(str(path)))
        print_record({"export": str(path)}, True) if self.json else print(snippet, end="")
        return 0


@dataclasses.dataclass(frozen=True)
class RunsFollow(Served):
    """Prints what happens in a run of a service, until it ends."""

    run_name: RunArgument = dataclasses.field(kw_only=True)
    name: tuple[str, ...] = ("meta_loss",)  # of the metrics

    def run(self) -> int:
        """Returns 0 when the run has ended, 1 when it failed or was lost."""
        client = self.client
        run: RunSummary = client.run(self.run_name)
        cursor = client.metrics(self.run_name, self.name, points=10).cursor
        if run.state not in ENDED:
            for message in client.follow([self.run_name], self.name, cursor):
                self._show(message.event, message.data)
                if message.event == "run":
                    run = RunSummary.model_validate(message.data)
                    if run.state in ENDED:
                        break
        print(
            json.dumps({"state": run.state}) if self.json else f"{run.state} {run.reason}".strip()
        )
        return 0 if run.state in (State.SUCCEEDED, State.STOPPED) else 1

    def _show(self, event: str, data: dict[str, Any]) -> None:
        if self.json:
            print(json.dumps({"event": event, "data": data}), flush=True)
        elif event == "metrics":
            values = {name: series["mean"][-1:] for name, series in data["series"].items()}
            shown = "  ".join(
                f"{n} {v[0]:.4g}" for n, v in values.items() if v and v[0] is not None
            )
            print(f"{data['last']:>8}  {shown}", flush=True)
        elif event == "event":
            print(f"{data['step']:>8}  {data['text']}", flush=True)


def print_list(server: str, as_json: bool) -> None:
    """Prints the runs of a service."""
    runs = Client(server).runs()
    if as_json:
        print(json.dumps([run.model_dump(mode="json") for run in runs], indent=2))
    else:
        print_records([row(run) for run in reversed(runs)])


def scale(server: str, run: str, number: int) -> None:
    """Has a run of a service go on with `number` workers."""
    Client(server).scale(run, number)


def row(run: RunSummary) -> dict[str, Any]:
    """A run as a row of a table."""
    return {
        "run": run.id,
        "state": str(run.state),
        "outer step": run.step,
        "of": run.num_steps,
        "meta-loss": run.meta_loss,
        "optimizer": run.optimizer,
        "tasks": tuple(run.tasks),
    }


def _value(text: str) -> Value:
    """A value as TOML has it; what is none of TOML's is text."""
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text
