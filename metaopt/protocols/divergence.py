"""How many runs went wrong. They are counted and stay in every aggregate, as the worst there is.

That results without their failures flatter is an old complaint; failures per run are part of the
protocol of Rezk et al. 2023 (arXiv:2310.18191).
"""

from typing import NamedTuple

import numpy as np


class Failures(NamedTuple):
    """Of some runs of one optimizer."""

    num_runs: int
    diverged: int  # some loss of the run is not finite
    worse_than_start: int  # finite, but above the initial loss at the end


def count(final_losses: np.ndarray, initial: float, *others: np.ndarray) -> Failures:
    """Failures among runs that end at `final_losses`, [num_runs].

    A run has diverged as well when one of `others`, [num_runs] each, is not finite.
    """
    finite = np.all(np.isfinite(np.stack([final_losses, *others])), axis=0)
    worse = finite & (np.asarray(final_losses) > initial)
    return Failures(len(finite), int(np.sum(~finite)), int(np.sum(worse)))


def total(failures: list[Failures]) -> Failures:
    """All of them together."""
    return Failures(*(sum(getattr(one, name) for one in failures) for name in Failures._fields))
