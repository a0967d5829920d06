"""What the service and its clients send each other: every body is one of these.

Times are UTC. Numbers that are not finite, which JSON does not have, are None.
"""

import datetime
import enum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, RootModel

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"  # of a run: the name of its folder, and nothing else
Name = Annotated[str, Field(pattern=NAME)]
Value: TypeAlias = bool | int | float | str | list[str]
Number: TypeAlias = float | None


class Model(BaseModel):
    """What all have in common: no key is unknown, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class State(enum.StrEnum):
    """How a run fares.

    pending -> running <-> stalled -> succeeded, failed, stopped or lost; from these, except the
    first, a run may be resumed, and is pending again.
    """

    PENDING = "pending"  # accepted, and its process or job has not begun to train
    RUNNING = "running"
    STALLED = "stalled"  # its process is there, and has made no outer step for too long
    SUCCEEDED = "succeeded"  # has made all of its outer steps
    FAILED = "failed"  # ended by an error
    STOPPED = "stopped"  # ended because it was asked to
    LOST = "lost"  # its process is gone and said nothing


Action: TypeAlias = Literal["stop", "resume", "clone", "scale", "export"]


class RunSummary(Model):
    """A run as a row of a list."""

    id: Name
    kind: Literal["train", "tune", "unreadable"]
    state: State
    reason: str = ""  # why it failed, is stalled or lost, and what to do; one line
    step: int  # outer steps done
    num_steps: int | None  # of all; None when the configuration cannot be read
    meta_loss: Number = None  # of the newest outer step
    best: Number = None  # validation score of the best checkpoint
    began: datetime.datetime | None = None
    updated: datetime.datetime  # when its folder was last written
    seconds_left: Number = None  # estimated; of a run that trains
    optimizer: str = ""
    estimator: str = ""
    tasks: list[str] = []  # or the families of its mixture
    workers: dict[str, int] = {}  # how many are in each state
    sparkline: list[Number] = []  # meta-loss over the whole run, at most 60 means
    actions: list[Action] = []  # what can be done with it now


class RunPage(Model):
    """A part of the list of runs, the newest first."""

    runs: list[RunSummary]
    total: int  # that match the filter
    next: str | None = None  # the `cursor` of the next part


class Transition(Model):
    """A change of state."""

    state: State
    at: datetime.datetime
    reason: str = ""


class Checkpoint(Model):
    """A checkpoint of a run."""

    step: int
    bytes: int
    at: datetime.datetime
    best: bool = False


class Launch(Model):
    """Who started a run through the service, and as what."""

    by: str  # the name that goes with the token
    at: datetime.datetime
    recipe: str | None = None
    clone_of: str | None = None
    overrides: dict[str, Value] = {}
    submission: str | None = None  # of the Ray job
    pid: int | None = None  # of the process on the service's machine


class Run(RunSummary):
    """All about a run that is not a curve."""

    config: str  # the resolved configuration, as TOML
    launch: Launch | None = None
    transitions: list[Transition] = []
    checkpoints: list[Checkpoint] = []
    metrics: list[str] = []  # names for `metrics`, as "meta_loss" or "tasks/NAME/meta_loss"
    evaluations: list[str] = []  # suites with a report
    snippet: str = ""  # Python that uses the export


class Series(Model):
    """One metric, in buckets of consecutive outer steps: lists of equal length, oldest first."""

    step: list[int]  # the last outer step in the bucket
    seconds: list[float]  # of training until then, over all attempts
    mean: list[Number]
    min: list[Number]
    max: list[Number]


class Metrics(Model):
    """Curves of a run."""

    run: Name
    cursor: str  # for `stream`: goes on right after these
    step: int  # the newest outer step that is in them
    series: dict[str, Series]


class Event(Model):
    """Something that happened in a run other than an ordinary outer step."""

    id: str  # increases; for `after`
    run: Name
    kind: Literal["state", "loss", "validation", "explanation", "rewind"]
    step: int
    at: datetime.datetime | None = None
    cause: str = ""  # of a lost estimate
    worker: int | None = None
    task: str = ""
    text: str


class EventPage(Model):
    """A part of the events of a run, the newest first."""

    events: list[Event]
    counts: dict[str, int]  # lost estimates in the whole run, by cause
    next: str | None = None


class Worker(Model):
    """A worker of a run that trains."""

    worker: int
    task: str
    state: Literal["running", "suspect", "restarting", "quarantined", "released"]
    pid: int | None = None
    results: int  # estimates that it gave
    failures: int  # in a row
    seconds: Number = None  # of a typical estimate
    busy_seconds: Number = None  # with the present call
    lost: dict[str, int] = {}  # estimates, by cause


class Workers(Model):
    """The workers of a run at one moment."""

    at: datetime.datetime | None  # None when the run never said
    workers: list[Worker]


class FamilyProgress(Model):
    """What a run has learned on one task family."""

    family: str
    tasks: int  # different ones met
    estimates: int
    nonfinite_runs: int
    first: Number  # meta-loss
    last: Number
    sparkline: list[Number]  # meta-loss, at most 60 means
    share: list[float]  # of the estimates, in each tenth of the run so far: the curriculum


class FamilyProgressList(RootModel[list[FamilyProgress]]):
    """That of all families of a run."""


class ConfigField(Model):
    """One key of a configuration that may be set."""

    key: str  # dotted, as "estimator.num_tasks"
    type: Literal["boolean", "integer", "number", "string", "choice", "strings"]
    value: Value | None  # of the recipe
    choices: list[str] = []
    help: str = ""


class Recipe(Model):
    """A configuration to start from."""

    name: Name
    title: str
    config: str  # TOML
    fields: list[ConfigField]


class RecipeList(Model):
    """The recipes that the service offers."""

    recipes: list[Recipe]


class PlanRequest(Model):
    """A run to plan: a recipe, or the configuration of a run, with changes."""

    recipe: Name | None = None
    clone_of: Name | None = None
    overrides: dict[str, Value] = {}


class StartRequest(PlanRequest):
    """A run to start."""

    name: Name | None = None  # by default that of the recipe with the time


class ResumeRequest(Model):
    """How a run goes on."""

    num_steps: int | None = Field(None, ge=1)  # outer steps in all


class ScaleRequest(Model):
    """How many workers a run goes on with."""

    workers: int = Field(ge=1)


class Plan(Model):
    """What a run would do and take, measured by compiling and running one estimate."""

    text: dict[str, str]  # as `metaopt train --dry-run` prints it
    num_steps: int
    workers: int
    seconds: float  # of the whole run, when every worker has a core
    core_hours: float
    cost: Number = None  # core_hours times the price that the service was given
    currency: str = ""
    worker_bytes: int  # of memory that each worker needs besides the libraries


class TaskFamily(Model):
    """A family of inner problems."""

    family: str
    about: str
    data_sets: list[str] = []


class TaskFamilyList(Model):
    """The task families."""

    families: list[TaskFamily]


class Task(Model):
    """A task drawn from a family, or named."""

    task: str  # its whole name, for a configuration
    family: str
    configuration: dict[str, Any]
    num_parameters: int
    thumbnail: str  # path of an SVG picture on this service


class TaskPage(Model):
    """Tasks of one family."""

    tasks: list[Task]


class AuditEntry(Model):
    """Something that somebody asked the service to change."""

    at: datetime.datetime
    by: str
    address: str
    action: Literal["start", "stop", "resume", "scale"]
    run: str
    outcome: str  # "accepted", or why not


class AuditPage(Model):
    """The newest entries of the audit log, the newest first."""

    entries: list[AuditEntry]


class Service(Model):
    """What this service is and allows."""

    version: str
    root: str  # where the runs are
    launcher: Literal["process", "ray"]
    read_only: bool
    needs_token: bool
    user: str | None  # who the token says you are


class Problem(Model):
    """Why a request was refused, as application/problem+json (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[str] = []
