"""What the configurations of all runs have, whatever their outer parameters are."""

import abc
import dataclasses
import math
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import tyro

from metaopt import estimators
from metaopt.chaos_guard import ChaosGuard
from metaopt.estimators import devices
from metaopt.estimators.base import GradientEstimator
from metaopt.horizons import Fixed, Horizon
from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.learner import Learner
from taskset import catalog
from taskset.base import Key, TaskFamily
from taskset.errors import InputError
from workers import strict_toml
from workers.assignment import TaskStream
from workers.strict_toml import Schema
from workers.wire import Wire


@dataclasses.dataclass(frozen=True)
class OfEachTask(InnerProblem):
    """Stands where `BaseConfig.estimators` will put the problem of each task."""

    def _unusable(self, *args: object, **kwargs: object):
        raise TypeError("the estimator of a configuration has no task; use BaseConfig.estimators")

    load_data = init = step = outer_loss = _unusable


OF_EACH_TASK = OfEachTask()


@dataclasses.dataclass(frozen=True)
class Workers:
    """Where estimates run."""

    number: Annotated[int, tyro.conf.arg(aliases=("--workers",))] = 1  # estimates in parallel
    pool: Literal["in-process", "process", "ray"] = "ray"
    # the Ray cluster: "local" starts one on this machine, "auto" finds a running one, or host:port
    address: Annotated[str, tyro.conf.arg(aliases=("--address",))] = "local"
    # asynchronous: an outer step takes whatever has arrived, and is not reproducible
    mode: Literal["synchronous", "asynchronous"] = "synchronous"
    max_staleness: int = 0  # outer steps; older results are dropped
    staleness_decay: float = 1.0  # what a result's weight is multiplied by for each outer step
    # of `number`, with which a run begins while the others join as they come; 0 is all
    min_number: int = 0
    # results that an outer step waits for; the slowest workers' come later, and are stale.
    # 0 is 1 if asynchronous, otherwise one of each worker
    min_results: int = 0
    wire: Wire = "vector"  # what workers send; "seeds" is shorter, and the learner does more
    max_memory: float = 0.0  # GB; a worker that holds more goes on in a new process. 0: no limit
    devices: int = 1  # of each worker, that its estimates are divided among
    gpu_workers: int = 0  # how many of the workers ask Ray for GPUs; the first ones do
    gpus: float = 1.0  # that each of these asks for; a share of one will do

    def __post_init__(self) -> None:
        if self.number < 1:
            raise InputError(f"workers.number is {self.number}; it must be at least 1")
        if self.devices < 1:
            raise InputError(f"workers.devices is {self.devices}; it must be at least 1")
        for name in ("min_number", "min_results", "gpu_workers"):
            if not 0 <= (value := getattr(self, name)) <= self.number:
                raise InputError(
                    f"workers.{name} is {value}; it must be at least 0 and at most workers.number, "
                    f"{self.number}"
                )
        if not 0 < self.staleness_decay <= 1:
            raise InputError(
                f"workers.staleness_decay is {self.staleness_decay}; it must be above 0 and at "
                "most 1"
            )
        if not (self.max_memory >= 0 and self.gpus > 0):
            raise InputError(
                f"workers.max_memory is {self.max_memory} and workers.gpus is {self.gpus}; the "
                "former must be at least 0, the latter above 0"
            )
        if self.gpu_workers and self.pool != "ray":
            raise InputError(
                f"workers.gpu_workers is {self.gpu_workers}; only workers.pool 'ray' hands out GPUs"
            )
        if self.pool == "in-process" and self.mode == "asynchronous":
            raise InputError(
                "workers.mode 'asynchronous' needs workers that run side by side; "
                "use workers.pool 'process' or 'ray'"
            )
        if self.max_staleness < 0:
            raise InputError(
                f"workers.max_staleness is {self.max_staleness}; it must be at least 0"
            )
        if self.mode == "asynchronous" and self.max_staleness == 0 and self.number > 1:
            raise InputError(
                "workers.max_staleness is 0, so that asynchronous workers would drop each other's "
                f"results; use at least 1, {self.number} keeps most of them"
            )


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """When to save, and what to keep."""

    every: int = 100  # outer steps
    keep: int = 3  # the newest ones; the best is kept besides

    def __post_init__(self) -> None:
        for name in ("every", "keep"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"checkpoint.{name} is {getattr(self, name)}; it must be at least 1"
                )


@dataclasses.dataclass(frozen=True)
class BaseConfig(abc.ABC):
    """A run on named tasks."""

    schema: ClassVar[Schema]  # of the file that holds it

    seed: int = 0  # every random number of the run comes from it
    tasks: tuple[str, ...] = ("mlp:dataset=digits",)  # worker i trains task i, round robin
    estimator: GradientEstimator = estimators.PersistentES(OF_EACH_TASK)
    learner: Learner = Learner()
    workers: Workers = Workers()
    checkpoint: Checkpoint = Checkpoint()

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}; it must be at least 0 and below 2**32")
        self._check_shares()
        if self.workers.wire == "seeds" and not self.estimator.has_seeds:
            raise InputError(
                f"workers.wire is 'seeds', and {type(self.estimator).__name__} keeps perturbations "
                "from estimate to estimate, or has none; use TruncatedES or FullES, or 'vector'"
            )
        num_groups = self.workers.number // self.estimator.shares
        if len(self.tasks) > num_groups:
            raise InputError(
                f"{len(self.tasks)} tasks for workers.number {self.workers.number}: a worker has "
                f"one task, so {self.tasks[num_groups]!r} would never be trained"
            )
        repeated = [task for task, count in Counter(self.tasks).items() if count > 1]
        if repeated:
            raise InputError(f"tasks: {repeated[0]!r} is named twice")
        self._check_estimator()
        if self.learner.num_steps < 1:
            raise InputError(
                f"learner.num_steps is {self.learner.num_steps}; it must be at least 1"
            )
        if self.learner.accumulate < 1:
            raise InputError(
                f"learner.accumulate is {self.learner.accumulate}; it must be at least 1"
            )
        for task in self.tasks:
            catalog.build(task)

    def _check_shares(self) -> None:
        shares, number = self.estimator.shares, self.workers.number
        if number % shares:
            raise InputError(
                f"estimator.workers is {shares}, which does not divide workers.number, {number}; "
                f"use {-(-number // shares) * shares} workers"
            )
        waits_for_all = self.workers.mode == "synchronous" and not self.workers.min_results
        if shares > 1 and not (waits_for_all and self.learner.accumulate == 1):
            raise InputError(
                f"estimator.workers is {shares}, and their shares are of one estimate; use "
                "workers.mode 'synchronous', workers.min_results 0 and learner.accumulate 1"
            )

    def _check_estimator(self) -> None:
        for name in ("num_tasks", "truncation"):
            value = getattr(self.estimator, name, 1)
            if value < 1:
                raise InputError(f"estimator.{name} is {value}; it must be at least 1")
        stddev = getattr(self.estimator, "stddev", 1.0)
        if not 0 < stddev < math.inf:
            raise InputError(f"estimator.stddev is {stddev}; it must be positive and finite")
        self.horizon.check(getattr(self.estimator, "truncation", 1))
        devices.check_divides(self.estimator.num_tasks, self.workers.devices)

    @classmethod
    def load(
        cls, path: Path, overrides: Mapping[str, Any] = {}, schema: Schema | None = None
    ) -> Self:
        """The configuration in the file at `path`, read by `schema` or else that of the class.

        `overrides` are values by dotted key, as "estimator.kind", put in the place of the file's.
        Raises `InputError`, which names the file, for anything that does not fit.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot read configuration {path}: {error.strerror}") from error
        except ValueError as error:
            raise InputError(f"{path} is not TOML: {error}") from error
        try:
            return cls.from_table(table, overrides, schema)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def from_table(
        cls,
        table: Mapping[str, Any],
        overrides: Mapping[str, Any] = {},
        schema: Schema | None = None,
    ) -> Self:
        """The configuration in nested tables, with `overrides` as for `load`."""
        merged = dict(table)
        for key, value in overrides.items():
            merged = _with(merged, key.split("."), value)
        return strict_toml.from_table(cls, merged, schema or cls.schema, cls())

    def to_table(self) -> dict[str, Any]:
        """The whole configuration, defaults included, as nested tables."""
        return strict_toml.to_table(self, self.schema)

    def to_toml(self) -> str:
        """The same as a file that `load` makes it from again."""
        return strict_toml.to_toml(self.to_table())

    @abc.abstractmethod
    def problem_of(self, family: TaskFamily) -> InnerProblem:
        """What a worker trains on tasks of `family`."""

    @abc.abstractmethod
    def first_meta_params(self, key: Key) -> MetaParams:
        """What the run starts from."""

    def check(self, meta_params: MetaParams) -> None:
        """Raises `InputError` for a run that cannot begin at `meta_params`."""
        del meta_params  # any will do

    def project(self, meta_params: MetaParams) -> MetaParams:
        """`meta_params` with what an outer step carried out of its domain put back."""
        return meta_params

    def chaos_guard(self) -> ChaosGuard:
        """What watches the outer gradients."""
        return ChaosGuard("off")

    @abc.abstractmethod
    def subject(self) -> Mapping[str, str]:
        """What is trained, as text by label; touches no device."""

    @property
    def horizon(self) -> Horizon:
        """How long inner runs are."""
        return getattr(self.estimator, "horizon", Fixed())

    @property
    def needs_loss_scales(self) -> bool:
        """Whether losses are normalised by those of baselines."""
        return getattr(self.estimator, "normalization", "none") == "baseline"

    @property
    def assignment(self) -> tuple[str, ...]:
        """The task of each worker."""
        groups = (i // self.estimator.shares for i in range(self.workers.number))
        return tuple(self.tasks[group % len(self.tasks)] for group in groups)

    def stream(self) -> TaskStream | None:
        """Where the tasks of workers come from, when they are not named."""
        return None

    @property
    def inner_steps(self) -> int:
        """Inner steps of one outer step, when no worker is lost or left behind."""
        rounds = self.learner.accumulate * (self.workers.min_results or self.workers.number)
        return self.estimator.inner_steps * rounds

    def families(self) -> dict[str, TaskFamily]:
        """The tasks by name; of a mixture, those that workers begin with."""
        return {task: catalog.build(task) for task in dict.fromkeys(self.assignment)}

    def estimators(self) -> dict[str, GradientEstimator]:
        """The estimator of each of `families`, by the name of the task."""
        return {
            task: dataclasses.replace(self.estimator, problem=self.problem_of(family))
            for task, family in self.families().items()
        }


def changed_fields(value: Any, *without: str) -> str:
    """A dataclass as text, less the fields `without` and those that are at their defaults."""
    shown = (
        f"{field.name}={getattr(value, field.name)!r}"
        for field in dataclasses.fields(value)
        if field.name not in without and getattr(value, field.name) != field.default
    )
    return f"{type(value).__name__}({', '.join(shown)})"


def _with(table: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    inner = table.get(name, {})
    return {
        **table,
        name: _with(inner if isinstance(inner, dict) else {}, rest, value) if rest else value,
    }
