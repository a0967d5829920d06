"""The paired comparison of two optimizers, with intervals by the bootstrap over seeds."""

from typing import NamedTuple

import numpy as np

from metaopt.bootstrap import (
    Interval,
    expanded_confidence,
    percentile_interval,
    resampled_runs,
)


class Comparison(NamedTuple):
    """Losses of an optimizer against those of a baseline on the same runs, with 95 % intervals."""

    ratio: float  # of the means; below 1 the optimizer is better than the baseline
    ratio_interval: Interval
    difference: float  # optimizer minus baseline, of the means
    difference_interval: Interval

    @property
    def excludes_parity(self) -> bool:
        """Whether the interval of the difference lies on one side of 0."""
        low, high = self.difference_interval
        return low > 0 or high < 0


def compare(losses: np.ndarray, baseline: np.ndarray) -> Comparison:
    """Compares two sets of losses, [num_seeds] each, paired by seed.

    A loss that is not finite counts as infinite.
    """
    pair = _worst_case(np.stack([losses, baseline]))
    ours, theirs = np.mean(pair, axis=1)
    our_means, their_means = np.mean(pair[:, resampled_runs(pair.shape[1])], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Comparison(
            ratio=float(ours / theirs),
            ratio_interval=_interval(our_means / their_means, losses.size),
            difference=float(ours - theirs),
            difference_interval=_interval(our_means - their_means, losses.size),
        )


def mean_interval(losses: np.ndarray) -> Interval:
    """The 95 % interval of the mean of `losses`, [num_seeds]."""
    resampled = np.mean(_worst_case(losses)[resampled_runs(losses.size)], axis=-1)
    return _interval(resampled, losses.size)


def _interval(resampled: np.ndarray, num_seeds: int) -> Interval:
    return percentile_interval(resampled, expanded_confidence(num_seeds, num_tasks=1))


def _worst_case(losses: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(losses), losses, np.inf).astype(np.float64)
