"""Steps in seconds, and memory: an optimizer that needs fewer steps may still take longer.

That learned optimizers be compared over time and memory too was asked for by Rezk et al. 2023
(arXiv:2310.18191) and is what AlgoPerf measures (arXiv:2306.07179).
"""

from typing import NamedTuple

import numpy as np


class Overhead(NamedTuple):
    """What one optimizer costs beside another."""

    step_time: float  # time of a whole training step over that of the other
    update_milliseconds: float  # of the update alone, without its gradient
    state_bytes_per_parameter: float


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


def steps_at_equal_time(num_steps: int, milliseconds: float, other_milliseconds: float) -> float:
    """How many steps another optimizer does in the time that this one takes for `num_steps`."""
    return num_steps * milliseconds / other_milliseconds
