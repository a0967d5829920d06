"""Configurations of quadratic_family: the distributions of a matrix, a start and a noise."""

from typing import Any, NamedTuple

import numpy as np

from taskset.configs.draws import flag, log_float, log_integer
from taskset.distributions import one_of


class MatrixRanges(NamedTuple):
    """From what the parameters of a random matrix are drawn, for each kind of matrix."""

    normal: tuple[float, float]  # standard deviation of the mean; largest standard deviation
    uniform: tuple[float, float, float]  # lowest and highest minimum; largest width
    linspace_eigen: tuple[float, float, float]  # the same, of eigenvalues
    logspace_eigen: float  # largest maximum of eigenvalues


MATRIX_KINDS = ("normal", "linspace_eigen", "uniform", "logspace_eigen")
MATRIX = MatrixRanges((1.0, 2.0), (-3.0, 1.0, 5.0), (0.01, 50.0, 100.0), 1000.0)
MATRIX_NOISE = MatrixRanges((0.05, 0.05), (-0.15, 0.05, 0.25), (0.01, 2.0, 10.0), 10.0)


def sample_quadratic(rng: np.random.RandomState) -> dict[str, Any]:
    """A quadratic in 2 to 3000 dimensions; `seed` is of its instance."""
    return {
        "A_dist": _matrix(rng, MATRIX),
        "initial_dist": _start(rng),
        "output_fn": one_of(rng, ("identity", "log")),
        "dims": log_integer(rng, 2, 3000),
        "seed": int(rng.randint(100000)),
        "loss_scale": log_float(rng, 1e-5, 1e3),
        "noise": {"A_noise": _matrix(rng, MATRIX_NOISE)} if flag(rng) else None,
    }


def _matrix(rng: np.random.RandomState, ranges: MatrixRanges) -> list[Any]:
    kind = one_of(rng, MATRIX_KINDS)
    if kind == "normal":
        return [kind, _normal(rng, *ranges.normal)]
    if kind == "uniform":
        return [kind, _interval(rng, *ranges.uniform)]
    if kind == "linspace_eigen":
        return [kind, _interval(rng, *ranges.linspace_eigen)]
    return [kind, {"min": 1e-5, "max": float(rng.uniform(1.0, ranges.logspace_eigen))}]


def _start(rng: np.random.RandomState) -> list[Any]:
    kind = one_of(rng, ("normal", "uniform"))
    return [kind, _normal(rng, 1.0, 2.0) if kind == "normal" else _interval(rng, -5.0, 2.5, 5.0)]


def _normal(rng: np.random.RandomState, mean_std: float, max_std: float) -> dict[str, float]:
    return {"mean": float(rng.normal(0.0, mean_std)), "std": float(rng.uniform(0.0, max_std))}


def _interval(
    rng: np.random.RandomState, min_low: float, min_high: float, max_width: float
) -> dict[str, float]:
    low = float(rng.uniform(min_low, min_high))
    return {"min": low, "max": low + float(rng.uniform(0.0, max_width))}
