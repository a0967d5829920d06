"""Steps in seconds, and memory: an optimizer that needs fewer steps may still take longer.

That learned optimizers be compared over time and memory too was asked for by Rezk et al. 2023
(arXiv:2310.18191) and is what AlgoPerf measures (arXiv:2306.07179).
"""

import numpy as np


def seconds(steps: np.ndarray, step_milliseconds: float) -> np.ndarray:
    """The time axis of a curve: seconds after which `steps`, [num_points], are done."""
    return np.asarray(steps, np.float64) * step_milliseconds * 1e-3


def losses_at(curves: np.ndarray, axis: np.ndarray, budget: float) -> np.ndarray:
    """The losses of curves, [..., num_points], at the last point of `axis` within `budget`: [...].

    Inf where not even the first point is within it.
    """
    within = np.searchsorted(axis, budget, side="right")
    if within == 0:
        return np.full(curves.shape[:-1], np.inf)
    losses = np.asarray(curves, np.float64)[..., within - 1]
    return np.where(np.isfinite(losses), losses, np.inf)
