"""The configuration of a meta-training run, and the file that holds it.

Every key of the file is a field of a dataclass; tables nest as the dataclasses do:

    seed = 0
    tasks = ["mlp:dataset=digits,hidden=32"]

    [optimizer]
    kind = "FactoredMLP"

    [estimator]
    kind = "PersistentES"
    num_tasks = 16
    truncation = 50

    [estimator.horizon]
    kind = "Fixed"
    steps = 200
"""

import dataclasses
import math
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from metaopt import estimators, horizons, learned_optimizers
from metaopt.corruption import Corruption
from metaopt.estimators import devices
from metaopt.estimators.base import GradientEstimator
from metaopt.horizons import Fixed, Horizon
from metaopt.inner_problem import InnerProblem, OptimizerTraining
from metaopt.learned_optimizers.base import LearnedOptimizer
from metaopt.learner import Learner
from metaopt.teacher import Teacher
from taskset import catalog
from taskset.base import TaskFamily
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily
from taskset.mixture import Mixture, TaskSplit
from workers import strict_toml
from workers.assignment import TaskStream


@dataclasses.dataclass(frozen=True)
class OfEachTask(InnerProblem):
    """Stands where `RunConfig.estimators` will put the problem of each task."""

    def _unusable(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("the estimator of a configuration has no task; use RunConfig.estimators")

    load_data = init = step = outer_loss = _unusable


OF_EACH_TASK = OfEachTask()
NO_FAMILY = QuadraticFamily()  # stands where a stream will put the family of each task

# What `kind` may name. A new class needs one line here, or in the mapping of its package.
KINDS: dict[type, dict[str, type]] = {
    LearnedOptimizer: dict(learned_optimizers.KINDS),
    GradientEstimator: {
        kind.__name__: kind
        for kind in (
            estimators.PersistentES,
            estimators.NoiseReuseES,
            estimators.GPES,
            estimators.PersistentESWithBackprop,
            estimators.ResumedPersistentES,
            estimators.TruncatedES,
            estimators.LearnedStddevES,
            estimators.FullES,
            estimators.TruncatedBackprop,
            estimators.FullBackprop,
            estimators.ForwardMode,
            estimators.OnlineForwardMode,
            estimators.Reparameterised,
            estimators.InverseVariance,
        )
    },
    Horizon: dict(horizons.KINDS),
}

SCHEMA = strict_toml.Schema(kinds=KINDS, unnamed={InnerProblem: OF_EACH_TASK})


@dataclasses.dataclass(frozen=True)
class Problem:
    """What the learned optimizer is asked to do."""

    outer_split: Literal["train", "outer_valid"] = "train"  # of the data, for the outer loss
    outer_batches: int = 1  # minibatches in each evaluation of the outer loss
    input_noise: float = 0.0  # in minibatches of the outer loss: standard deviation
    label_noise: float = 0.0  # in minibatches of the outer loss: share of labels
    teacher: Teacher = Teacher()  # who has a share in the steps, at first

    def __post_init__(self) -> None:
        if self.outer_batches < 1:
            raise InputError(
                f"problem.outer_batches is {self.outer_batches}; it must be at least 1"
            )
        _ = self.corruption

    @property
    def corruption(self) -> Corruption:
        """Of the minibatches of the outer loss. Raises `InputError` for noise out of range."""
        return Corruption(self.input_noise, self.label_noise)


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
    devices: int = 1  # of each worker, that its estimates are divided among

    def __post_init__(self) -> None:
        if self.number < 1:
            raise InputError(f"workers.number is {self.number}; it must be at least 1")
        if self.devices < 1:
            raise InputError(f"workers.devices is {self.devices}; it must be at least 1")
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
class Validation:
    """Training held-out tasks with the current meta-parameters, to choose the best checkpoint."""

    every: int = 0  # outer steps; 0: never
    num_seeds: int = 8  # runs of each task; `metaopt evaluate` reports on other ones
    num_tasks: int = 8  # of a mixture, drawn once from its validation split

    def __post_init__(self) -> None:
        if self.every < 0:
            raise InputError(f"validation.every is {self.every}; it must be at least 0")
        for name in ("num_seeds", "num_tasks"):
            if getattr(self, name) < 1:
                raise InputError(
                    f"validation.{name} is {getattr(self, name)}; it must be at least 1"
                )


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """A meta-training run, on named tasks or on those of a mixture."""

    seed: int = 0  # every random number of the run comes from it
    tasks: tuple[str, ...] = ("mlp:dataset=digits",)  # worker i trains task i, round robin
    mixture: Mixture | None = None  # in place of tasks
    estimates_per_task: int = 50  # that a worker makes before it draws another task of the mixture
    problem: Problem = Problem()
    optimizer: LearnedOptimizer = learned_optimizers.FactoredMLP()
    estimator: GradientEstimator = estimators.PersistentES(OF_EACH_TASK)
    learner: Learner = Learner()
    workers: Workers = Workers()
    checkpoint: Checkpoint = Checkpoint()
    validation: Validation = Validation()

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}; it must be at least 0 and below 2**32")
        if self.mixture and self.tasks:
            raise InputError(f"a mixture and tasks are given, {self.tasks[0]!r}; leave one out")
        if not self.mixture and not self.tasks:
            raise InputError("tasks is empty; name at least one, see `metaopt tasks list`")
        if self.estimates_per_task < 1:
            raise InputError(
                f"estimates_per_task is {self.estimates_per_task}; it must be at least 1"
            )
        if len(self.tasks) > self.workers.number:
            raise InputError(
                f"{len(self.tasks)} tasks for workers.number {self.workers.number}: a worker has "
                f"one task, so {self.tasks[self.workers.number]!r} would never be trained"
            )
        repeated = [task for task, count in Counter(self.tasks).items() if count > 1]
        if repeated:
            raise InputError(f"tasks: {repeated[0]!r} is named twice")
        hidden_size = getattr(self.optimizer, "hidden_size", 1)
        if hidden_size < 1:
            raise InputError(f"optimizer.hidden_size is {hidden_size}; it must be at least 1")
        self._check_estimator()
        if self.learner.num_steps < 1:
            raise InputError(
                f"learner.num_steps is {self.learner.num_steps}; it must be at least 1"
            )
        for task in self.tasks:
            catalog.build(task)

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
        """The task of each worker; with a mixture, its first one."""
        if self.mixture:
            return tuple(self.stream().at(i, 0).task for i in range(self.workers.number))
        return tuple(self.tasks[i % len(self.tasks)] for i in range(self.workers.number))

    @property
    def inner_steps(self) -> int:
        """Inner steps in one estimate of every worker."""
        return self.estimator.inner_steps * self.workers.number

    def families(self) -> dict[str, TaskFamily]:
        """The tasks by name; of a mixture, those that workers begin with."""
        return {task: catalog.build(task) for task in dict.fromkeys(self.assignment)}

    def validation_families(self) -> dict[str, TaskFamily]:
        """The tasks that checkpoints are chosen by, without padding."""
        held_out = self.held_out_tasks("validation")
        return {task: catalog.exact(catalog.build(task)) for task in held_out}

    def held_out_tasks(self, split: TaskSplit) -> tuple[str, ...]:
        """The names of tasks to validate or report on: of a mixture, some of another split."""
        if not self.mixture:
            return self.tasks
        mixture = dataclasses.replace(self.mixture, split=split, buckets="exact", augmentations=())
        drawn = (mixture.sample(index) for index in range(self.validation.num_tasks))
        return tuple(dict.fromkeys(drawn))

    def estimators(self) -> dict[str, GradientEstimator]:
        """The estimator of each of `families`, by the name of the task."""
        return {
            task: dataclasses.replace(self.estimator, problem=self._problem(family))
            for task, family in self.families().items()
        }

    def stream(self) -> TaskStream:
        """Where the tasks of workers come from, when there is a mixture."""
        assert self.mixture is not None
        return TaskStream(
            self.mixture,
            self.estimator,
            self._problem(NO_FAMILY),
            self.estimates_per_task,
            self.seed,
            self.horizon.bounds()[1] if self.needs_loss_scales else None,
        )

    def _problem(self, family: TaskFamily) -> OptimizerTraining:
        announced = self.horizon.bounds()[1]
        asked = self.problem
        return OptimizerTraining(
            family,
            self.optimizer,
            asked.outer_split,
            announced,
            asked.corruption,
            asked.outer_batches,
            asked.teacher,
        )


def load(path: Path, overrides: Mapping[str, Any] = {}) -> RunConfig:
    """The configuration in the file at `path`.

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
        return from_table(table, overrides)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def from_table(table: Mapping[str, Any], overrides: Mapping[str, Any] = {}) -> RunConfig:
    """The configuration in nested tables, with `overrides` as for `load`."""
    merged = dict(table)
    for key, value in overrides.items():
        merged = _with(merged, key.split("."), value)
    if "mixture" in overrides:  # asked for, with the values of the file where it has any
        merged["mixture"] = {**overrides["mixture"], **dict(table.get("mixture", {}))}
    if "mixture" in merged:
        merged.setdefault("tasks", [])
    return strict_toml.from_table(RunConfig, merged, SCHEMA, RunConfig())


def to_toml(config: RunConfig) -> str:
    """The whole configuration, defaults included, as a file that `load` makes it from again."""
    return strict_toml.to_toml(strict_toml.to_table(config, SCHEMA))


def _with(table: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    name, *rest = path
    inner = table.get(name, {})
    return {
        **table,
        name: _with(inner if isinstance(inner, dict) else {}, rest, value) if rest else value,
    }
