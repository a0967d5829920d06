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
from collections.abc import Mapping
from typing import Any, Literal, Self

import jax
import jax.numpy as jnp

from metaopt import estimators, exports, horizons, learned_optimizers
from metaopt.corruption import Corruption
from metaopt.estimators.base import GradientEstimator
from metaopt.horizons import Horizon
from metaopt.inner_problem import InnerProblem, OptimizerTraining
from metaopt.learned_optimizers.base import LearnedOptimizer, MetaParams
from metaopt.teacher import Teacher
from taskset import catalog
from taskset.base import Key, TaskFamily
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily
from taskset.mixture import Mixture, TaskSplit
from workers import strict_toml
from workers.assignment import TaskStream
from workers.base_config import OF_EACH_TASK, BaseConfig, changed_fields
from workers.strict_toml import Schema

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
class RunConfig(BaseConfig):
    """A meta-training run, on named tasks or on those of a mixture."""

    schema = SCHEMA

    mixture: Mixture | None = None  # in place of tasks
    estimates_per_task: int = 50  # that a worker makes before it draws another task of the mixture
    tasks_per_family: int = 1  # of the mixture, that a worker trains in a row
    problem: Problem = Problem()
    optimizer: LearnedOptimizer = learned_optimizers.FactoredMLP()
    start_from: str | None = None  # an export, whose meta-parameters the run begins at
    validation: Validation = Validation()

    def __post_init__(self) -> None:
        if self.mixture and self.tasks:
            raise InputError(f"a mixture and tasks are given, {self.tasks[0]!r}; leave one out")
        if not self.mixture and not self.tasks:
            raise InputError("tasks is empty; name at least one, see `metaopt tasks list`")
        for name in ("estimates_per_task", "tasks_per_family"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        hidden_size = getattr(self.optimizer, "hidden_size", 1)
        if hidden_size < 1:
            raise InputError(f"optimizer.hidden_size is {hidden_size}; it must be at least 1")
        super().__post_init__()

    @classmethod
    def from_table(
        cls,
        table: Mapping[str, Any],
        overrides: Mapping[str, Any] = {},
        schema: Schema | None = None,
    ) -> Self:
        asked = dict(table)
        if "mixture" in overrides:  # with the values of the file where it has any
            overrides = dict(overrides)
            asked["mixture"] = {**overrides.pop("mixture"), **dict(table.get("mixture", {}))}
        if "mixture" in asked or any(key.startswith("mixture.") for key in overrides):
            asked.setdefault("tasks", [])
        return super().from_table(asked, overrides, schema)

    @property
    def assignment(self) -> tuple[str, ...]:
        """The task of each worker; with a mixture, its first one."""
        if stream := self.stream():
            return tuple(stream.at(i, 0).task for i in range(self.workers.number))
        return super().assignment

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

    @property
    def components(self) -> tuple[str, ...]:
        """The families and tasks that a mixture draws from; none without one."""
        return tuple(name for name, _ in self.mixture.weighted) if self.mixture else ()

    def stream(self) -> TaskStream | None:
        """Where the tasks of workers come from, when there is a mixture."""
        if not self.mixture:
            return None
        return TaskStream(
            self.mixture,
            self.estimator,
            self.problem_of(NO_FAMILY),
            self.estimates_per_task,
            self.seed,
            self.tasks_per_family,
            self.horizon.bounds()[1] if self.needs_loss_scales else None,
        )

    def problem_of(self, family: TaskFamily) -> OptimizerTraining:
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

    def first_meta_params(self, key: Key) -> MetaParams:
        """Raises `InputError` where `start_from` is no sound export of such an optimizer."""
        if self.start_from is not None:
            return exports.meta_params_for(self.optimizer, self.start_from)
        return self.optimizer.init(key)

    def subject(self) -> Mapping[str, str]:
        seed = jax.ShapeDtypeStruct((), jnp.uint32)  # a key would be an array, on a device
        tree = jax.eval_shape(lambda seed: self.optimizer.init(jax.random.key(seed)), seed)
        size = sum(leaf.size for leaf in jax.tree.leaves(tree))
        return {
            **({"mixture": changed_fields(self.mixture)} if self.mixture else {}),
            "optimizer": f"{self.optimizer}, {size:,} meta-parameters",
        }
