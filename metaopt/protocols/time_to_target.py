"""When a curve first reaches a target, in the units of its axis: steps, or seconds.

The measure of AlgoPerf (Dahl et al. 2023, arXiv:2306.07179): the time to a loss that the
best tuned baseline reaches, the median over repetitions. Its targets leave no room: a baseline that
is nearly as good as the best never arrives. So the target here can lie a share of the way above the
best loss, as in the data profiles of More and Wild (2009, doi:10.1137/080724083).
"""

import numpy as np


def target(initial: float, best: float, tolerance: float = 0.0) -> float:
    """The loss that is to be reached: `best`, or the share `tolerance` of the way above it."""
    return best + tolerance * (initial - best)


def first_times(curves: np.ndarray, axis: np.ndarray, target: float) -> np.ndarray:
    """The first value of `axis`, [num_points], at which curves are at most `target`.

    `curves` are [..., num_points]; inf where one never is. There is no interpolation.
    """
    reached = np.asarray(curves, np.float64) <= target
    return np.where(np.any(reached, axis=-1), axis[np.argmax(reached, axis=-1)], np.inf)


def over_runs(times: np.ndarray) -> np.ndarray:
    """The median of times [..., num_runs]; inf unless more than half of the runs arrive."""
    return np.median(times, axis=-1)
