"""The optimizers of TaskSet's search spaces (https://arxiv.org/abs/2002.11887), as optax and more.

    optimizer("adam8p_wide_grid_seed7", num_steps=1000)     one configuration, by its name
    build("nadamw_grid", hyperparameters, num_steps=1000)   any configuration of a space
    SearchSpace("nadamw_grid")                              takes the place of a learned optimizer

The third with `stack` of some names as its meta-parameters runs as many configurations in one
compiled program, wherever a learned optimizer can run.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaopt.baselines import search_spaces
from metaopt.baselines.nadamw import nadamw
from metaopt.baselines.update_rules import (
    REFERENCE_STEPS,
    adagrad,
    adam,
    decayed_adam,
    zero,
)
from metaopt.learned_optimizers.base import LearnedOptimizer, MetaParams
from taskset.base import Key
from taskset.errors import InputError, unknown_name
from taskset.options import VALUES, Fidelity

ZERO = "zero"  # the optimizer without hyper-parameters, which belongs to no search space


def optimizer(
    name: str, num_steps: int | None = None, fidelity: Fidelity = "intended"
) -> optax.GradientTransformationExtraArgs:
    """The configuration with this name, as an optax transformation.

    Raises `InputError` as `search_spaces.hyperparameters` and `build` do.
    """
    space, values = search_spaces.resolve(name)
    return build(space, values, num_steps, fidelity)


def build(
    space: str,
    hyperparameters: Mapping[str, Any],
    num_steps: int | None = None,
    fidelity: Fidelity = "intended",
) -> optax.GradientTransformationExtraArgs:
    """The optimizer of a search space, or "zero", with these hyper-parameters, [] each.

    They may be numbers or traced arrays; nothing in Python depends on their values. `num_steps` is
    the length of training, which adam6p, adam8p and nadamw need.

    The fidelity "released" repeats what the released code does by mistake, "intended" mends it. For
    NAdamW see `nadamw`. Adam8p's decay is to be stretched to the length of training, as that of
    Adam6p is; the released code runs it at the pace of 10,000 steps, whatever the length.

    `update(gradients, state, params)` returns what to add to the parameters and needs them.

    Raises `InputError` for an unknown space or fidelity, hyper-parameters that are not those of the
    space, or `num_steps` that is needed and missing or below 1.
    """
    _check(space, fidelity)
    expected = search_spaces.sample(space, 0) if space != ZERO else {}
    if set(hyperparameters) != set(expected):
        raise InputError(
            f"hyper-parameters of {space} are {', '.join(hyperparameters) or 'none'}; "
            f"give {', '.join(expected) or 'none'}"
        )
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in hyperparameters.items()}
    length = functools.partial(_length, space, num_steps)
    match space:
        case "adam1p_wide_grid" | "adam4p_wide_grid":
            return adam(arrays)
        case "adam6p_wide_grid":
            return decayed_adam(arrays, length())
        case "adam8p_wide_grid":
            return decayed_adam(arrays, REFERENCE_STEPS if fidelity == "released" else length())
        case "adagrad_wide_grid":
            return adagrad(arrays)
        case "nadamw_grid":
            return nadamw(arrays, length(), fidelity)
    return zero()


def _length(space: str, num_steps: int | None) -> int:
    if num_steps is None or num_steps < 1:
        raise InputError(
            f"num_steps is {num_steps}; {space} needs the length of training, 1 or more"
        )
    return num_steps


def stack(names: Sequence[str]) -> MetaParams:
    """The configurations with these names as one stack of meta-parameters, leaves [names] float32.

    Raises `InputError` for an unknown name, no names, or names that stand for different optimizers.
    """
    resolved = [search_spaces.resolve(name) for name in names]
    spaces = sorted({space for space, _ in resolved})
    if len(spaces) != 1:
        raise InputError(
            f"a stack needs configurations of one optimizer, got {', '.join(spaces) or 'none'}"
        )
    columns = {key: [float(values[key]) for _, values in resolved] for key in resolved[0][1]}
    return {key: jnp.asarray(column, jnp.float32) for key, column in columns.items()}


@dataclasses.dataclass(frozen=True)
class SearchSpace(LearnedOptimizer):
    """The optimizer of a search space; its meta-parameters are its hyper-parameters, [] float32.

    `name` is one of `search_spaces.names()`, or "zero", which has none; truth values are 1 and 0.
    Raises `InputError` for an unknown name or fidelity.
    """

    name: str
    fidelity: Fidelity = "intended"

    def __post_init__(self):
        _check(self.name, self.fidelity)

    def init(self, key: Key) -> MetaParams:
        """One of the thousand released configurations, each as likely as the others."""
        released = _released(self.name)
        seed = jax.random.randint(key, (), 0, search_spaces.NUM_RELEASED)
        return {name: jnp.asarray(column)[seed] for name, column in released.items()}

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        """See `build`; `num_steps` must be given where the space needs it."""
        return build(self.name, meta_params, num_steps, self.fidelity)


@functools.cache
def _released(space: str) -> Mapping[str, np.ndarray]:
    """All released configurations of a space, [NUM_RELEASED] float32 each."""
    if space == ZERO:
        return {}
    drawn = [search_spaces.sample(space, seed) for seed in range(search_spaces.NUM_RELEASED)]
    return {name: np.asarray([values[name] for values in drawn], np.float32) for name in drawn[0]}


def _check(space: str, fidelity: str) -> None:
    if space not in (valid := (*search_spaces.names(), ZERO)):
        raise unknown_name("search space", space, valid)
    if fidelity not in VALUES["fidelity"]:
        raise unknown_name("fidelity", fidelity, VALUES["fidelity"])
