"""Hyper-parameters of TaskSet's hand-designed optimizers, by the names they were released under.

TaskSet (https://arxiv.org/abs/2002.11887) has a thousand configurations of each search space:
"adam8p_wide_grid_seed7" is what seed 7 draws from `adam8p_wide_grid`. The draws are those
of the release, with the same generator, offsets and order, so a configuration is the released one
to the last few bits. Besides, there are Adam and Adagrad at fixed learning rates, "adam_lr_-3.50"
with the decimal logarithm of the rate in the name, and "zero", which sets every parameter to 0.

`metaopt.baselines.optimizers` makes them into optimizers.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from taskset.configs.draws import log_float
from taskset.errors import InputError, unknown_name

Hyperparameters: TypeAlias = dict[str, float | bool]

NUM_RELEASED = 1000  # configurations of a space, seeds 0 to 999; the samplers go on beyond
EXPONENTS = tuple(exponent / 2 for exponent in range(-14, 3))  # of the fixed learning rates
INITIAL_ACCUMULATOR = 0.1  # the default of TensorFlow's Adagrad, for the fixed learning rates


class _Space(NamedTuple):
    seed_offset: int  # added to the seed
    draw: Callable[[np.random.RandomState], Hyperparameters]


# The order of the entries of a dictionary is the order of the draws.


def _adam1p(rng: np.random.RandomState) -> Hyperparameters:
    return {"learning_rate": log_float(rng, 1e-8, 10)}


def _adam4p(rng: np.random.RandomState) -> Hyperparameters:
    return {
        "learning_rate": log_float(rng, 1e-8, 10),
        "beta1": 1 - log_float(rng, 1e-4, 1),
        "beta2": 1 - log_float(rng, 1e-6, 1),
        "epsilon": log_float(rng, 1e-10, 1e3),
    }


def _adam6p(rng: np.random.RandomState) -> Hyperparameters:
    return _adam4p(rng) | {
        "linear_decay": log_float(rng, 1e-7, 1e-4),
        "exponential_decay": log_float(rng, 1e-3, 1e-6),
    }


def _adam8p(rng: np.random.RandomState) -> Hyperparameters:
    return _adam4p(rng) | {
        "l1": log_float(rng, 1e-8, 10),
        "l2": log_float(rng, 1e-8, 10),
        "linear_decay": log_float(rng, 1e-7, 1e-4),
        "exponential_decay": log_float(rng, 1e-3, 1e-6),
    }


def _nadamw(rng: np.random.RandomState) -> Hyperparameters:
    return {
        "learning_rate": log_float(rng, 1e-5, 1),
        "beta1": 1 - log_float(rng, 1e-3, 1),
        "beta2": 1 - log_float(rng, 1e-5, 1),
        "epsilon": log_float(rng, 1e-8, 1e4),
        "use_nesterov": rng.uniform() > 0.5,
        **_weight_decays(rng),
        "warmup_fraction": log_float(rng, 1e-5, 1e-1) if rng.uniform() > 0.5 else 0.0,
        "min_learning_rate_mult": 0.0 if rng.uniform() > 0.5 else log_float(rng, 1e-5, 1),
        "constant_fraction": rng.uniform(),
    }


def _weight_decays(rng: np.random.RandomState) -> Hyperparameters:
    """One kind of weight decay, the other, or both: a third each."""
    which = rng.uniform()
    return {
        "adamw_weight_decay": 0.0 if 0.3333 <= which < 0.6666 else log_float(rng, 1e-5, 1e-1),
        "l2_weight_decay": 0.0 if which < 0.3333 else log_float(rng, 1e-5, 1e-1),
    }


def _adagrad(rng: np.random.RandomState) -> Hyperparameters:
    return {
        "learning_rate": log_float(rng, 1e-8, 10),
        "initial_accumulator_value": log_float(rng, 1e-10, 1e3),
    }


# Spaces of equal offset share what they draw first: seed for seed, adam8p extends adam4p.
_SPACES = {
    "adam1p_wide_grid": _Space(4123, _adam1p),
    "adam4p_wide_grid": _Space(0, _adam4p),
    "adam6p_wide_grid": _Space(123455, _adam6p),
    "adam8p_wide_grid": _Space(0, _adam8p),
    "nadamw_grid": _Space(14358, _nadamw),
    "adagrad_wide_grid": _Space(0, _adagrad),
}


def _fixed() -> dict[str, tuple[str, Hyperparameters]]:
    """For each fixed name, the space whose optimizer it is, and its hyper-parameters."""
    fixed: dict[str, tuple[str, Hyperparameters]] = {}
    for exponent in EXPONENTS:
        rate = {"learning_rate": 10.0**exponent}
        adagrad = rate | {"initial_accumulator_value": INITIAL_ACCUMULATOR}
        fixed[f"adam_lr_{exponent:.2f}"] = ("adam1p_wide_grid", rate)
        fixed[f"adagrad_lr_{exponent:.2f}"] = ("adagrad_wide_grid", adagrad)
    return fixed | {"zero": ("zero", {})}


_FIXED = _fixed()


def names() -> tuple[str, ...]:
    """The names of the search spaces."""
    return tuple(_SPACES)


def fixed_names() -> tuple[str, ...]:
    """The names of those that no seed draws: 17 rates of Adam and of Adagrad each, and zero."""
    return tuple(_FIXED)


def sample(space: str, seed: int) -> Hyperparameters:
    """What `seed` draws from a search space, in the order of the draws.

    Seeds 0 to 999 are the released configurations. Raises `InputError` for an unknown space, or a
    seed that numpy's generator does not take.
    """
    if space not in _SPACES:
        raise unknown_name("search space", space, _SPACES)
    seed_offset, draw = _SPACES[space]
    largest = 2**32 - 1 - seed_offset
    if not 0 <= seed <= largest:
        raise InputError(f"seed of {space} is {seed}; it must be at least 0 and at most {largest}")
    return draw(np.random.RandomState(seed + seed_offset))


def hyperparameters(name: str) -> Hyperparameters:
    """The configuration with this name, "<search space>_seed<seed>" or one of `fixed_names()`.

    Raises `InputError` as `sample` does, or when the name is neither.
    """
    return resolve(name)[1]


def resolve(name: str) -> tuple[str, Hyperparameters]:
    """The space whose optimizer a name stands for ("zero" for itself), and its hyper-parameters.

    Raises `InputError` as `hyperparameters` does.
    """
    if name in _FIXED:
        space, values = _FIXED[name]
        return space, dict(values)
    seeded = re.fullmatch(r"(.+)_seed(0|[1-9][0-9]*)", name)
    if seeded is None:
        raise unknown_name("optimizer", name, [*_FIXED, *(f"{space}_seed0" for space in _SPACES)])
    # Eleven digits are too many already, and Python refuses to convert some thousands of them.
    space, seed = seeded[1], int(seeded[2][:11])
    return space, sample(space, seed)
