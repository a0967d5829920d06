"""Configurations of losg_tasks_family: fourteen kinds of small problems, some of them nested.

The problems are those of "Learned Optimizers that Scale and Generalize"
(https://arxiv.org/abs/1703.04813), with the settings of TaskSet.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from taskset.configs.draws import activation, coin, log_float, log_integer, log_integers
from taskset.distributions import one_of

Settings: TypeAlias = dict[str, Any]

TEST_FUNCTIONS = (
    "StyblinskiTang",
    "ackley",
    "beale",
    "branin",
    "logsumexp",
    "matyas",
    "michalewicz",
    "rosenbrock",
)


def sample_losg(rng: np.random.RandomState) -> list[Any]:
    """[kind, settings, seed of the instance]."""
    kind = one_of(rng, tuple(sorted(KINDS)))
    return [kind, KINDS[kind](rng), int(rng.uniform(0, 100000))]


def _noise_stdev(rng: np.random.RandomState, noisy: bool) -> float:
    """Of the noise on gradients. Every kind draws `noisy` first and this at its place."""
    return log_float(rng, 0.01, 10.0) if noisy else 0.0


def _noisy_dim(rng: np.random.RandomState) -> Settings:
    noisy = coin(rng, 0.5)
    return {"dim": log_integer(rng, 10, 1000), "noise_stdev": _noise_stdev(rng, noisy)}


def _bowl(rng: np.random.RandomState) -> Settings:
    noisy = coin(rng, 0.5)
    return {
        "cond": log_float(rng, 0.01, 100.0),
        "angle": one_of(rng, (0.0, 0.0, math.pi / 4, math.pi / 3)),
        "noise_stdev": _noise_stdev(rng, noisy),
    }


def _sparse_softmax_regression(rng: np.random.RandomState) -> Settings:
    noisy = coin(rng, 0.5)
    return {
        "n_features": log_integer(rng, 2, 100),
        "n_classes": 2,
        "noise_stdev": _noise_stdev(rng, noisy),
        "bs": log_integer(rng, 1, 50),
        "n_samples": log_integer(rng, 1, 30),
    }


def _test_function(rng: np.random.RandomState) -> Settings:
    noisy = coin(rng, 0.5)
    return {"problem": one_of(rng, TEST_FUNCTIONS), "noise_stdev": _noise_stdev(rng, noisy)}


def _fully_connected(rng: np.random.RandomState) -> Settings:
    depth = one_of(rng, (2, 3, 4, 5))
    num_widths, repeats = (1, depth) if coin(rng, 0.5) else (depth, 1)
    return {
        "n_features": log_integer(rng, 1, 16),
        "n_classes": 2,
        "activation": activation(rng),
        "bs": log_integer(rng, 1, 200),
        "n_samples": log_integer(rng, 1, 30),
        "hidden_sizes": log_integers(rng, num_widths, 4, 32) * repeats,
    }


def _norm(rng: np.random.RandomState) -> Settings:
    return {"dim": log_integer(rng, 3, 1000), "norm_power": float(rng.uniform(0.1, 5.0))}


def _with_data(rng: np.random.RandomState) -> Settings:
    return {
        "dim": log_integer(rng, 3, 100),
        "bs": log_integer(rng, 1, 200),
        "n_samples": log_integer(rng, 100, 20000),
    }


def _base(rng: np.random.RandomState) -> list[Any]:
    """[kind, settings] of a problem that can be wrapped."""
    kind = one_of(rng, tuple(BASE_KINDS))
    return [kind, BASE_KINDS[kind](rng)]


def _sparse(rng: np.random.RandomState) -> Settings:
    noisy = coin(rng, 0.5)
    return {
        "base": _base(rng),
        "zero_probability": float(rng.uniform(0.9, 0.99)),
        "noise_stdev": _noise_stdev(rng, noisy),
    }


def _rescaled(rng: np.random.RandomState) -> Settings:
    return {"base": _base(rng), "scale": log_float(rng, 0.001, 1000.0)}


def _logarithm(rng: np.random.RandomState) -> Settings:
    return {"base": _base(rng)}


# A base is drawn from these in this order, a kind from all of `KINDS` in alphabetical order.
BASE_KINDS: dict[str, Callable[[np.random.RandomState], Settings]] = {
    "quadratic": _noisy_dim,
    "bowl": _bowl,
    "optimization_test_problems": _test_function,
    "fully_connected": _fully_connected,
    "norm": _norm,
    "dependency_chain": _with_data,
    "outward_snake": _with_data,
    "min_max_well": _noisy_dim,
    "sum_of_quadratics": _with_data,
    "projection_quadratic": _with_data,
}
KINDS: dict[str, Callable[[np.random.RandomState], Settings]] = BASE_KINDS | {
    "sparse_softmax_regression": _sparse_softmax_regression,
    "sparse_problems": _sparse,
    "rescale_problems": _rescaled,
    "log_objective": _logarithm,
}
