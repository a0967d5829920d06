"""A thousand configurations of NAdamW in the order in which to try them.

The list was learned on TaskSet (https://arxiv.org/abs/2002.11887): the configuration of
the least mean cost over its tasks comes first, and each next one is that which most lowers the mean
over tasks of the least cost so far. Under ten trials are usually enough. Try them without a weight
decay of your own, for they bring theirs, and with `num_steps` equal to the length of training.

The order is released data, learned from optimizers in the "released" fidelity of
`metaopt.baselines.nadamw`: without Nesterov momentum, and with the reversed l2 that may be why the
first ten have none.
"""

import functools
import importlib.resources

import optax

from metaopt.baselines import optimizers, search_spaces
from metaopt.baselines.search_spaces import Hyperparameters
from taskset.errors import InputError
from taskset.options import Fidelity

SPACE = "nadamw_grid"
ORDER_FILE = "nadamw_order.txt"  # of seeds of `SPACE`


@functools.cache
def seeds() -> tuple[int, ...]:
    """The seeds of the configurations, the first to try first: a permutation of 0 to 999."""
    text = importlib.resources.files("metaopt.baselines").joinpath(ORDER_FILE).read_text("ascii")
    return tuple(int(seed) for seed in text.split())


def name_for_idx(idx: int) -> str:
    """The name of the configuration to try at this place, counted from 0: "nadamw_grid_seed251".

    Raises `InputError` when the list does not reach `idx`.
    """
    if not 0 <= idx < len(seeds()):
        raise InputError(f"idx is {idx}; the list has places 0 to {len(seeds()) - 1}")
    return f"{SPACE}_seed{seeds()[idx]}"


def hyperparameters_for_idx(idx: int) -> Hyperparameters:
    """The configuration to try at this place. Raises `InputError` as `name_for_idx` does."""
    return search_spaces.hyperparameters(name_for_idx(idx))


def optimizer_for_idx(
    idx: int, num_steps: int, fidelity: Fidelity = "intended"
) -> optax.GradientTransformationExtraArgs:
    """The optimizer to try at this place, for a training of `num_steps`.

    `update` needs the parameters. Raises `InputError` as `name_for_idx` does, and when `num_steps`
    is below 1.
    """
    return optimizers.optimizer(name_for_idx(idx), num_steps, fidelity)
