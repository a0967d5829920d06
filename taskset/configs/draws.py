"""What every sampled family draws alike: numbers, activations, initialisers, recurrent cores.

A released configuration is one stream of `numpy.random.RandomState`. The order of draws is part of
the format: where a dict below is written out, its values are drawn from first to last.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from taskset.distributions import one_of

# Probabilities are these weights over their sum.
ACTIVATION_WEIGHTS = {
    "cos": 1,
    "elu": 1,
    "leaky_relu1": 1,
    "leaky_relu2": 1,
    "leaky_relu4": 1,
    "relu": 6,
    "sigmoid": 1,
    "swish": 1,
    "tanh": 3,
}
INITIALIZER_WEIGHTS = {
    "glorot_normal": 2,
    "glorot_uniform": 2,
    "he_normal": 2,
    "he_uniform": 2,
    "orthogonal": 1,
    "random_normal": 1,
    "random_uniform": 1,
    "truncated_normal": 1,
    "variance_scaling": 1,
}
SCALED_INITIALIZERS = (
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
)


def log_float(rng: np.random.RandomState, low: float, high: float) -> float:
    """A number in [low, high], uniform in its logarithm."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def log_integer(rng: np.random.RandomState, low: int, high: int) -> int:
    """`log_float` to the nearest integer, half to even; so both ends are rarer than their share."""
    return round(log_float(rng, low, high))


def log_integers(rng: np.random.RandomState, num: int, low: int, high: int) -> list[int]:
    """`num` draws of `log_integer`, as for the widths of layers."""
    return [log_integer(rng, low, high) for _ in range(num)]


def linear_integer(rng: np.random.RandomState, low: int, high: int) -> int:
    """A uniform number in [low, high], to the nearest integer."""
    return round(float(rng.uniform(low, high)))


def coin(rng: np.random.RandomState, probability: float) -> bool:
    """True with `probability`; takes a float from the stream, where `flag` takes an integer."""
    return bool(rng.uniform() < probability)


def flag(rng: np.random.RandomState) -> bool:
    """True or False, each as likely; True comes first in the order of the choice."""
    return one_of(rng, (True, False))


def activation(rng: np.random.RandomState) -> str:
    """The name of an activation function."""
    return _weighted(rng, ACTIVATION_WEIGHTS)


def initializer(rng: np.random.RandomState) -> list[Any]:
    """[name, scale] of an initialiser of weights; scale is None where the name fixes it.

    The scale, log-uniform in [0.1, 10], is orthogonal's gain, random_uniform's bound, the standard
    deviation of random_normal and truncated_normal, and variance_scaling's factor.
    """
    name = _weighted(rng, INITIALIZER_WEIGHTS)
    return [name, log_float(rng, 0.1, 10.0) if name in SCALED_INITIALIZERS else None]


def rnn_core(rng: np.random.RandomState) -> list[Any]:
    """[kind, settings] of a recurrent core: vrnn, gru or lstm."""
    kind = one_of(rng, ("vrnn", "gru", "lstm"))
    linked = one_of(rng, (True, True, True, True, False))  # drawn for an lstm too
    if kind == "vrnn":
        weights = _initializers(rng, ("hidden_to_hidden", "in_to_hidden"), linked)
        return [kind, weights | {"act_fn": activation(rng), "core_dim": log_integer(rng, 32, 128)}]
    if kind == "gru":
        core_dim = log_integer(rng, 32, 128)
        weights = _initializers(rng, ("wh", "wz", "wr", "uh", "uz", "ur"), linked)
        return [kind, {"core_dim": core_dim} | weights]
    return [kind, {"w_gates": initializer(rng), "core_dim": log_integer(rng, 32, 128)}]


def _initializers(
    rng: np.random.RandomState, names: tuple[str, ...], linked: bool
) -> dict[str, list[Any]]:
    """An initialiser for each of `names`: one draw for all if `linked`, else one draw each."""
    if linked:
        shared = initializer(rng)
        return {name: list(shared) for name in names}
    return {name: initializer(rng) for name in names}


def _weighted(rng: np.random.RandomState, weights: Mapping[str, int]) -> str:
    """One name, drawn from the cumulated probabilities of `weights` in their order."""
    total = sum(weights.values())
    return str(rng.choice(list(weights), p=[weight / total for weight in weights.values()]))
