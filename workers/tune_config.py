"""The configuration of a run that tunes hyper-parameters, as `workers.config` is of meta-training.

tasks = ["mlp:dataset=digits,hidden=32"]

[problem.training]
kind = "Schedules"
num_steps = 100

[estimator]
kind = "FullBackprop"
objective = "final"

[estimator.horizon]
steps = 100
"""

import dataclasses
from collections.abc import Mapping

import jax
import numpy as np

from metaopt import estimators, horizons, linear_solvers, trainings
from metaopt.chaos_guard import ChaosGuard
from metaopt.estimators.base import GradientEstimator
from metaopt.horizons import Fixed, Horizon
from metaopt.hyperparameter_training import HyperparameterTraining, Training
from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.linear_solvers import Solver
from metaopt.self_tuning.problem import SelfTuning
from metaopt.trainings import Schedules
from taskset.base import Key, TaskFamily
from taskset.errors import InputError
from workers import config, strict_toml
from workers.base_config import BaseConfig
from workers.config import NO_FAMILY

OF_EACH_TASK = HyperparameterTraining(NO_FAMILY, Schedules())  # as that of `base_config`

KINDS: dict[type, dict[str, type]] = {
    HyperparameterTraining: {k.__name__: k for k in (HyperparameterTraining, SelfTuning)},
    Training: dict(trainings.KINDS),
    GradientEstimator: {
        **config.KINDS[GradientEstimator],
        **{
            kind.__name__: kind
            for kind in (
                estimators.ReversibleBackprop,
                estimators.TapedBackprop,
                estimators.Implicit,
                estimators.DirectGradient,
            )
        },
    },
    Solver: dict(linear_solvers.KINDS),
    Horizon: {**horizons.KINDS, "Endless": horizons.Endless},
}

SCHEMA = strict_toml.Schema(
    kinds=KINDS, unnamed={InnerProblem: OF_EACH_TASK, TaskFamily: NO_FAMILY}
)


@dataclasses.dataclass(frozen=True)
class TuneConfig(BaseConfig):
    """A run that tunes the hyper-parameters of training named tasks."""

    schema = SCHEMA

    problem: HyperparameterTraining = OF_EACH_TASK
    estimator: GradientEstimator = estimators.FullBackprop(
        OF_EACH_TASK, num_tasks=4, horizon=Fixed(100), objective="final"
    )

    guard: ChaosGuard = ChaosGuard()

    def __post_init__(self) -> None:
        if not self.tasks:
            raise InputError("tasks is empty; name at least one, see `metaopt tasks list`")
        super().__post_init__()

    def problem_of(self, family: TaskFamily) -> HyperparameterTraining:
        return dataclasses.replace(self.problem, family=family)

    def first_meta_params(self, key: Key) -> MetaParams:
        """Raises `InputError` for a hyper-parameter that does not reach the outer loss."""
        problem = self.problem_of(next(iter(self.families().values())))
        return problem.start(problem.load_data(), key)

    def check(self, meta_params: MetaParams) -> None:
        """What an estimator refuses once it has seen the problem; traces it."""
        for estimator in self.estimators().values():
            data, key = estimator.problem.load_data(), jax.random.key(0)
            state = jax.eval_shape(estimator.init, meta_params, data, key)
            jax.eval_shape(estimator.estimate, meta_params, state, data, key)

    def project(self, meta_params: MetaParams) -> MetaParams:
        return self.problem.project(meta_params)

    def chaos_guard(self) -> ChaosGuard:
        return self.guard

    def subject(self) -> Mapping[str, str]:
        shapes = {name: h.shape for name, h in self.problem.hyperparameters().items()}
        size = sum(int(np.prod(shape)) for shape in shapes.values())
        listed = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        training = f"{self.problem.training}, {size:,} hyper-parameters: {listed}"
        return {"problem": type(self.problem).__name__, "training": training}
