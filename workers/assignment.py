"""Which task a worker trains: always the same one, or one after another from a mixture."""

import dataclasses
import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metaopt.baselines.loss_scale import loss_scale
from metaopt.estimators.base import GradientEstimator
from metaopt.inner_problem import OptimizerTraining
from metaopt.normalize import LossScale
from taskset import catalog
from taskset.mixture import Mixture

# Baselines that loss scales come from, kept for all runs of this machine.
BASELINES = Path.home() / ".cache" / "metaopt" / "baselines"


class Assigned(NamedTuple):
    """What a worker does at one point of its life."""

    task: str  # its name, for reports and loss scales
    estimator: GradientEstimator
    begins: bool  # whether the runs of the task start here, whatever was before


@dataclasses.dataclass(frozen=True)
class TaskStream:
    """Tasks of a mixture, each trained for some estimates: another one for every worker.

    Of `problem`, the family is replaced by that of each task.
    """

    mixture: Mixture
    estimator: GradientEstimator
    problem: OptimizerTraining
    estimates_per_task: int
    seed: int  # of the run
    tasks_per_family: int = 1  # that a worker trains in a row, while programs of it are warm
    scaled_for: int | None = None  # inner steps of the baselines of loss scales; None: no scales

    def at(self, worker: int, num_done: int) -> Assigned:
        """What `worker` does after `num_done` estimates. Raises `InputError` as `sample` does."""
        round_number, done = divmod(num_done, self.estimates_per_task)
        task = self.task(worker, round_number)
        problem = dataclasses.replace(self.problem, family=catalog.build(task))
        return Assigned(task, dataclasses.replace(self.estimator, problem=problem), done == 0)

    def first_after(self, outer_step: int) -> int:
        """The number of estimates, `outer_step` or a few more, after which a task begins.

        In about as many outer steps a worker that was never lost has done so many.
        """
        return -(-outer_step // self.estimates_per_task) * self.estimates_per_task

    def task(self, worker: int, round_number: int) -> str:
        """The task that `worker` trains after `round_number` others."""
        first = round_number - round_number % self.tasks_per_family
        return _draw(self.mixture, self.seed, worker, round_number, first)

    def loss_scale(self, task: str) -> LossScale:
        """That of `task`; measured when it is not known yet, which takes longer than to train it.

        Raises `InputError` when no baseline improves on the initial loss.
        """
        if self.scaled_for is None:
            return LossScale()
        return _loss_scale(task, self.scaled_for)


@functools.lru_cache(maxsize=64)
def _loss_scale(task: str, num_steps: int) -> LossScale:
    """Kept, for to look it up is to read all data of the task, and every estimate asks."""
    return loss_scale(catalog.exact(catalog.build(task)), num_steps, BASELINES)


@functools.lru_cache(maxsize=64)
def _draw(mixture: Mixture, seed: int, worker: int, round_number: int, first: int) -> str:
    """The task of a round, of the family of that of the round `first`."""

    def seed_of(round_number: int) -> int:
        return int(np.random.SeedSequence([seed, worker, round_number]).generate_state(1)[0])

    return mixture.sample(seed_of(round_number), None if first == round_number else seed_of(first))
