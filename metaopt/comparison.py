"""Intervals by the bootstrap over seeds, and the paired comparison of two optimizers."""

from typing import NamedTuple, TypeAlias

import numpy as np

Interval: TypeAlias = tuple[float, float]

NUM_RESAMPLES = 10_000
RESAMPLING_SEED = 0
CONFIDENCE = 0.95


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
    our_means, their_means = np.mean(pair[:, _resamples(pair.shape[1])], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Comparison(
            ratio=float(ours / theirs),
            ratio_interval=_interval(our_means / their_means),
            difference=float(ours - theirs),
            difference_interval=_interval(our_means - their_means),
        )


def mean_interval(losses: np.ndarray) -> Interval:
    """The 95 % interval of the mean of `losses`, [num_seeds]."""
    return _interval(np.mean(_worst_case(losses)[_resamples(losses.size)], axis=-1))


def _worst_case(losses: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(losses), losses, np.inf).astype(np.float64)


def _resamples(num_seeds: int) -> np.ndarray:
    """Indices of seeds drawn with replacement, [NUM_RESAMPLES, num_seeds]; the same every time."""
    random = np.random.default_rng(RESAMPLING_SEED)
    return random.integers(num_seeds, size=(NUM_RESAMPLES, num_seeds))


def _interval(resampled: np.ndarray) -> Interval:
    # Quantiles that are members: to interpolate towards an infinite one gives NaN.
    tail = (1 - CONFIDENCE) / 2
    low = np.quantile(resampled, tail, method="lower")
    high = np.quantile(resampled, 1 - tail, method="higher")
    return float(low), float(high)
