"""Adam, or another optimizer, at a grid of learning rates that brackets the best one."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from metaopt import held_out
from metaopt.baselines.one_rate import Adam, OneRate, Schedule
from metaopt.inner_problem import OptimizerTraining
from taskset.base import Dataset, Key, TaskFamily
from taskset.errors import InputError

RATES = tuple(float(rate) for rate in np.geomspace(1e-3, 1.0, 15))
RATES_AT_ONCE = 5  # one compiled program serves the grid and its extensions
MAX_EXTENSIONS = 6  # of `RATES_AT_ONCE` rates; the default grid then reaches beyond 1e-9 or 1e6


class Grid(NamedTuple):
    """What an optimizer does at every rate. Losses that are not finite stay what they are."""

    schedule: Schedule
    rates: np.ndarray  # [num_rates] float32, ascending
    curves: np.ndarray  # [num_rates, num_seeds, num_steps] float32, minibatch training loss
    final_train_loss: np.ndarray  # [num_rates, num_seeds] float32, on the whole train split
    test_loss: np.ndarray  # [num_rates, num_seeds] float32, on the whole test split

    @property
    def best(self) -> int:
        """Index of the rate with the least final training loss, averaged over seeds."""
        return int(np.argmin(mean_loss(self.final_train_loss)))

    @property
    def brackets(self) -> bool:
        """Whether the best rate has worse ones on both sides."""
        return 0 < self.best < len(self.rates) - 1

    def means(self, measure: str) -> np.ndarray:
        """The mean over seeds at each rate, [num_rates]: of a field, or of "trajectory_mean"."""
        if measure == "trajectory_mean":
            return mean_loss(np.mean(self.curves, axis=-1))
        return mean_loss(getattr(self, measure))

    @property
    def num_runs(self) -> int:
        """The tuning budget: training runs that were spent."""
        return self.final_train_loss.size


def mean_loss(losses: np.ndarray) -> np.ndarray:
    """The mean over seeds, the last axis, of losses [..., num_seeds]; inf when one run diverged."""
    return np.mean(np.where(np.isfinite(losses), losses, np.inf), axis=-1)


def tune_adam(
    family: TaskFamily,
    data: Dataset,
    keys: Key,
    num_steps: int,
    schedule: Schedule = "constant",
    rates: Sequence[float] = RATES,
) -> Grid:
    """`tune` of Adam at rates that are constant, or decay to 0."""
    return tune(Adam(schedule), family, data, keys, num_steps, rates)


def tune(
    optimizer: OneRate,
    family: TaskFamily,
    data: Dataset,
    keys: Key,
    num_steps: int,
    rates: Sequence[float] = RATES,
    at_once: int = held_out.RUNS_AT_ONCE,
) -> Grid:
    """Trains every held-out run of `keys`, [num_seeds], with an optimizer at every rate.

    A grid whose best rate is its first or last is extended on that side, at the same spacing, until
    it brackets the best. At most `at_once` runs take memory at a time. Raises `InputError` when
    `rates` are not at least two ascending positive numbers.
    """
    if len(rates) < 2 or not all(0 < low < high < math.inf for low, high in pairwise(rates)):
        raise InputError(f"learning rates are {list(rates)}; give two or more, positive, ascending")
    problem = OptimizerTraining(family, optimizer, num_steps=num_steps)

    def run(rates: np.ndarray) -> Grid:
        settings = {"learning_rate": rates.astype(np.float32)}
        runs = held_out.train_in_parts(
            problem, settings, data, keys, num_steps, RATES_AT_ONCE, at_once
        )
        return Grid(optimizer.schedule, settings["learning_rate"], *runs)

    grid = run(np.asarray(rates))
    for _ in range(MAX_EXTENSIONS):
        if grid.brackets:
            break
        grid = _joined(grid, run(_beyond(grid)))
    return grid


def _beyond(grid: Grid) -> np.ndarray:
    """The next `RATES_AT_ONCE` rates on the side of the best one, ascending."""
    steps = np.arange(1, RATES_AT_ONCE + 1)
    if grid.best == 0:
        return (grid.rates[0] * (grid.rates[0] / grid.rates[1]) ** steps)[::-1]
    return grid.rates[-1] * (grid.rates[-1] / grid.rates[-2]) ** steps


def _joined(grid: Grid, more: Grid) -> Grid:
    low, high = sorted((grid, more), key=lambda grid: grid.rates[0])
    pairs = zip(low[1:], high[1:], strict=True)
    return Grid(grid.schedule, *(np.concatenate(pair) for pair in pairs))
