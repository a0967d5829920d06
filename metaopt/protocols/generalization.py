"""What is left of a score as tasks grow: in width, depth or length, and outside the distribution.

Curves of this kind are how the scaling of learned optimizers is shown (VeLO, arXiv:2211.09760;
Celo2, arXiv:2602.19142): the interquartile mean of the normalised scores of
all tasks of one scale, each scale with its interval.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metaopt.bootstrap import Measured, stratified
from metaopt.protocols.robust_aggregates import interquartile_mean


class AtScale(NamedTuple):
    """The scores of the tasks of one scale."""

    scale: float  # 1 is that of meta-training
    num_tasks: int
    score: Measured


def by_scale(scores: np.ndarray, scales: Sequence[float], num_resamples: int) -> list[AtScale]:
    """The interquartile means of `scores`, [num_tasks, num_runs], by ascending scale."""
    found = []
    for scale in sorted(set(scales)):
        chosen = scores[np.asarray(scales) == scale]
        score = stratified(interquartile_mean, chosen, num_resamples=num_resamples)
        found.append(AtScale(scale, len(chosen), score))
    return found


def gap(inside: np.ndarray, outside: np.ndarray, num_resamples: int) -> Measured:
    """By how much the score is less outside the distribution, [num_tasks, num_runs] each."""
    difference = lambda inside, outside: interquartile_mean(inside) - interquartile_mean(outside)
    return stratified(difference, inside, outside, num_resamples=num_resamples)
