"""On how many tasks an optimizer is within a factor of the fastest, and its score.

Performance profiles (Dolan and More 2002, arXiv:cs/0102001) as AlgoPerf has them (Dahl et al. 2023,
arXiv:2306.07179): r is the time of an optimizer over the least of all on that task,
rho(tau) the share of tasks with r <= tau, and the score the mean of rho over 1 <= tau <= 4.
"""

import numpy as np

LARGEST_RATIO = 4.0


def ratios(times: np.ndarray) -> np.ndarray:
    """Times over the least of each task, both [num_optimizers, num_tasks]; inf where there is none.

    A task on which no optimizer arrives counts for none.
    """
    fastest = np.min(times, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # inf / inf, and tasks that start there
        over_fastest = np.where(times == fastest, 1.0, times / fastest)
    return np.where(np.isfinite(times), over_fastest, np.inf)


def profile(ratios: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """The share of tasks, the last axis of `ratios`, within each of `factors`, [num_factors].

    Returns [..., num_factors].
    """
    return np.mean(ratios[..., None, :] <= factors[:, None], axis=-1)


def score(ratios: np.ndarray, largest: float = LARGEST_RATIO) -> np.ndarray:
    """The mean height of the profile between 1 and `largest`, exactly: [...] between 0 and 1."""
    return np.mean(np.clip(largest - ratios, 0.0, largest - 1.0), axis=-1) / (largest - 1.0)


def geometric_mean_ratio(ratios: np.ndarray) -> np.ndarray:
    """How many times the least time a task takes: [...]; inf when one is not finished."""
    return np.exp(np.mean(np.log(ratios), axis=-1))
