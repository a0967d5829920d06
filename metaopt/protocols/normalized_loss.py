"""Losses of different tasks on one scale: 1 at the initial loss, 0 at the best one known.

TaskSet (Metz et al. 2020, arXiv:2002.11887, section 4) clips what is worse than the initial loss to
1, so that no task can dominate a mean. "Tasks, stability, architecture, and compute used to train
effective learned optimizers" (Metz et al. 2020, arXiv:2009.11243) does not, and reports the median
beside the mean, which failures dominate.
"""

from typing import NamedTuple

import numpy as np

from taskset.errors import InputError


class MeanAndMedian(NamedTuple):
    """Of normalised losses over tasks."""

    mean: float
    median: float


def metz_2020(losses: np.ndarray, initial: float, best: float) -> np.ndarray:
    """(loss - best) / (initial - best) of losses of any shape; inf where a loss is not finite.

    Raises `InputError` unless `initial` and `best` are finite and the second is the less.
    """
    if not (np.isfinite(initial) and best < initial):
        raise InputError(
            f"the initial loss is {initial} and the best one {best}, which give no scale; the best "
            "must be below the initial loss"
        )
    losses = np.asarray(losses, np.float64)
    return np.where(np.isfinite(losses), (losses - best) / (initial - best), np.inf)


def taskset(losses: np.ndarray, initial: float, best: float) -> np.ndarray:
    """`metz_2020`, but at most 1: no worse than where the run began.

    A loss below `best` is below 0, as only a run that had no part in `best` can be: the paper has
    none. Raises `InputError` as `metz_2020` does.
    """
    return np.minimum(metz_2020(losses, initial, best), 1.0)


def trajectory_cost(curves: np.ndarray, initial: float, best: float) -> np.ndarray:
    """TaskSet's one number for a run: the mean of `taskset` over its curve, [..., num_steps]."""
    return np.mean(taskset(curves, initial, best), axis=-1)


def over_tasks(normalized: np.ndarray) -> MeanAndMedian:
    """Mean and median over tasks of the means over runs of [num_tasks, num_runs]."""
    tasks = np.mean(normalized, axis=1)
    return MeanAndMedian(float(np.mean(tasks)), float(np.median(tasks)))
