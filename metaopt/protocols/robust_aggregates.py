"""Aggregates over tasks and runs that a few lucky or failed runs do not decide.

From "Deep reinforcement learning at the edge of the statistical precipice" (Agarwal et al. 2021,
arXiv:2108.13264). All take scores [..., num_tasks, num_runs] and return [...], so that
`metaopt.bootstrap.stratified` gives their intervals.
"""

import numpy as np


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """The mean of the middle half of all runs of all tasks together.

    The floor of a quarter of the runs goes at either end; infinite scores can be among them.
    """
    runs = scores.reshape(*scores.shape[:-2], -1)
    cut = runs.shape[-1] // 4
    last = runs.shape[-1] - cut
    ordered = np.partition(runs, sorted({cut, last - 1}), axis=-1)
    return np.mean(ordered[..., cut:last], axis=-1)


def optimality_gap(scores: np.ndarray, goal: float = 1.0) -> np.ndarray:
    """How far runs are below `goal` on average; what lies above it does not make up for others."""
    return np.mean(np.maximum(goal - scores, 0.0), axis=(-2, -1))


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How likely a run has a higher score than one of `others` on the same task, [...].

    The mean over tasks of the share of pairs that it wins; a tie is half of one. The two may have
    different numbers of runs.
    """
    ours, theirs = scores[..., :, None], others[..., None, :]
    return np.mean((ours > theirs) + 0.5 * (ours == theirs), axis=(-3, -2, -1))
