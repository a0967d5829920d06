"""Bootstrap intervals, with room for few runs: over runs, and over runs within each task.

The middle 95 % of resamples is too narrow where there are few runs. Of n runs the resamples vary by
the share (n - 1) / n of what they should, and nothing in them says that the spread itself is an
estimate. So a wider middle is taken: the one that makes up for both where noise is normal
(Hesterberg 2015, "What teachers should know about the bootstrap", arXiv:1411.5279, expanded
percentile intervals). How often such intervals hold the truth is in docs/evaluation_protocols.md.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import special

Interval: TypeAlias = tuple[float, float]
Statistic: TypeAlias = Callable[..., np.ndarray]  # of [..., num_tasks, num_runs] each: [...]

NUM_RESAMPLES = 10_000
RESAMPLING_SEED = 0
CONFIDENCE = 0.95
ELEMENTS_AT_ONCE = 2**21  # of resampled scores, to stay in the cache


class Measured(NamedTuple):
    """A statistic and its 95 % interval."""

    value: float
    interval: Interval


def resampled_runs(num_runs: int) -> np.ndarray:
    """Indices of runs drawn with replacement, [NUM_RESAMPLES, num_runs]; the same every time."""
    random = np.random.default_rng(RESAMPLING_SEED)
    return random.integers(num_runs, size=(NUM_RESAMPLES, num_runs))


def expanded_confidence(num_runs: int, num_tasks: int) -> float:
    """The confidence of a percentile interval that holds the truth with `CONFIDENCE`.

    For `num_runs` runs of all tasks together, resampled within each of `num_tasks` tasks whose
    noise is about the same. One run a task says nothing of its noise: then it is 1.
    """
    freedom = num_runs - num_tasks
    if not freedom:
        return 1.0
    deviations = special.stdtrit(freedom, (1 + CONFIDENCE) / 2)
    return float(2 * special.ndtr(np.sqrt(num_runs / freedom) * deviations) - 1)


def percentile_interval(resampled: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The middle, the share `confidence`, of a statistic of resamples, [num_resamples]."""
    # Quantiles that are members: to interpolate towards an infinite one gives NaN.
    tail = (1 - confidence) / 2
    low = np.quantile(resampled, tail, method="lower")
    high = np.quantile(resampled, 1 - tail, method="higher")
    return float(low), float(high)


def stratified(
    statistic: Statistic,
    *scores: np.ndarray,
    num_resamples: int = NUM_RESAMPLES,
    paired: bool = False,
    expanded: bool = True,
) -> Measured:
    """A statistic of `scores`, [num_tasks, num_runs] each, and its interval.

    Runs are drawn with replacement within each task, so that the tasks stay what they are: the
    interval is for other runs on the same tasks (Agarwal et al. 2021, arXiv:2108.13264). `paired`
    draws the same runs of all `scores`, which then need one shape. The draws are the same every
    time. `expanded` makes up for few runs; else the interval is the middle 95 %.
    """
    resampled = [statistic(*draw) for draw in _resamples(scores, num_resamples, paired)]
    drawn = scores[: 1 if paired else None]
    runs, tasks = sum(score.size for score in drawn), sum(len(score) for score in drawn)
    confidence = expanded_confidence(runs, tasks) if expanded else CONFIDENCE
    interval = percentile_interval(np.concatenate(resampled), confidence)
    return Measured(float(statistic(*scores)), interval)


def _resamples(
    scores: tuple[np.ndarray, ...], num_resamples: int, paired: bool
) -> Iterator[list[np.ndarray]]:
    """`scores` resampled, [at once, num_tasks, num_runs] each, until there are `num_resamples`."""
    random = np.random.default_rng(RESAMPLING_SEED)
    at_once = max(1, ELEMENTS_AT_ONCE // max(score.size for score in scores))
    for start in range(0, num_resamples, at_once):
        number = min(at_once, num_resamples - start)
        shapes = [(number, *score.shape) for score in scores]
        draws = [
            random.integers(shape[-1], size=shape) for shape in shapes[: 1 if paired else None]
        ]
        chosen = draws * len(scores) if paired else draws
        yield [
            np.take_along_axis(score[None], runs, axis=2)
            for score, runs in zip(scores, chosen, strict=True)
        ]
