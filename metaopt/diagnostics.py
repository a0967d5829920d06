"""How noisy an outer gradient is, from the sums that come with every estimate."""

from typing import NamedTuple

import jax
import numpy as np

from metaopt.estimators.base import Estimate
from metaopt.learned_optimizers.base import MetaParams


class GradientNoise(NamedTuple):
    """What the gradients of the single runs behind an estimate say of their mean.

    A run is one task, so this is the variation over tasks and perturbations together. All are NaN
    for fewer than two runs.
    """

    variance: float  # total, over all coordinates, of the gradient of a single run
    signal_to_noise: float  # squared norm of the true gradient over the variance of the mean
    cosine: float  # between the means of two halves of the runs, expected over all such halves
    clear_share: float  # of coordinates over 2 standard errors from 0, where noise alone has .05
    clearest: float  # standard errors that the mean of some coordinate is from 0; the greatest


def squared_norm(tree: MetaParams) -> float:
    """The squared Euclidean norm of all leaves together, added up in float64."""
    leaves = (np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree))
    return sum(float(np.sum(np.square(leaf))) for leaf in leaves)


def gradient_noise(estimate: Estimate) -> GradientNoise:
    """The noise of an estimate of one worker, or of the weighted mean over many.

    With n runs, of gradients g_i and mean g, the sum of |g_i|^2 and |g|^2 suffice. The squared norm
    of the true gradient is estimated without bias, so signal and cosine can be negative. What is
    said of coordinates is the mean over workers of what their own runs say.
    """
    num = float(estimate.weight)
    if num < 2:
        return GradientNoise(*[np.nan] * len(GradientNoise._fields))
    squared_size = squared_norm(estimate.gradient)
    variance = (float(estimate.metrics["squared_norms"]) - num * squared_size) / (num - 1)
    signal = squared_size - variance / num
    with np.errstate(divide="ignore", invalid="ignore"):
        return GradientNoise(
            variance,
            float(np.float64(signal) / (variance / num)),
            float(np.float64(signal) / (signal + 2 * variance / num)),
            float(estimate.metrics["clear_share"]) / num,
            float(estimate.metrics["clearest"]) / num,
        )
