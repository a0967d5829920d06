"""Shared samplers, from which families draw their configurations."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

Value = TypeVar("Value")


def log_uniform(rng: np.random.RandomState, low: float, high: float) -> float:
    """A log-uniform number in [low, high], of 3 significant digits so that names stay short."""
    return float(f"{np.exp(rng.uniform(np.log(low), np.log(high))):.3g}")


def log_uniform_int(rng: np.random.RandomState, low: int, high: int) -> int:
    """A log-uniform integer in [low, high], both included."""
    return min(high, int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))))


def one_of(rng: np.random.RandomState, values: Sequence[Value]) -> Value:
    """One of `values`, each as likely as the others."""
    return values[rng.randint(len(values))]
