"""What it costs to announce a wrong number of steps to an optimizer that is told how many.

The announced number is a hyper-parameter that users of a learned optimizer must know (Rezk et al.
2023, arXiv:2310.18191). The same runs are trained twice: told the truth, and told a multiple of it.
"""

from typing import NamedTuple

import numpy as np

from metaopt.bootstrap import Measured, stratified
from metaopt.protocols.robust_aggregates import interquartile_mean


class Excess(NamedTuple):
    """Normalised loss lost to a wrong announcement; above 0 it is worse than the right one."""

    announced: float  # over the true number of steps
    num_tasks: int
    loss: Measured


def excess(wrong: np.ndarray, right: np.ndarray, announced: float, num_resamples: int) -> Excess:
    """The interquartile mean of differences of normalised losses, [num_tasks, num_runs] each.

    Paired by task and run, which have the same starts and minibatches.
    """
    difference = lambda wrong, right: interquartile_mean(wrong - right)
    loss = stratified(difference, wrong, right, num_resamples=num_resamples, paired=True)
    return Excess(announced, len(wrong), loss)


def sensitivity(excesses: list[Excess]) -> float:
    """The greatest loss that any of the wrong announcements costs; 0 when none costs anything."""
    return max([0.0, *(excess.loss.value for excess in excesses)])
