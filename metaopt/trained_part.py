"""Meta-training of some meta-parameters, while the others stay as they are.

Celo (Moudgil et al. 2025, https://arxiv.org/abs/2501.12670) is trained in two phases: its rule
first, without a schedule, and then the schedule, with the rule as it is.

A name is that of a meta-parameter, as in the `model.safetensors` of an export, or the beginning of
several up to a dot: "schedule" is all of "schedule.lstm.weight", "schedule.output.bias" and so on.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from metaopt.learned_optimizers.base import MetaParams, named_leaves
from taskset.errors import unknown_name


def which_are_part(meta_params: MetaParams, names: Sequence[str]) -> Any:
    """A tree of bool, like `meta_params`: whether the leaf is named. Without names, all are.

    Raises `InputError` for a name that names nothing.
    """
    leaves = [f"{leaf}." for leaf in named_leaves(meta_params)]
    for name in names:
        if not any(leaf.startswith(f"{name}.") for leaf in leaves):
            valid = {leaf[:end] for leaf in leaves for end, x in enumerate(leaf) if x == "."}
            raise unknown_name("meta-parameter to train", name, valid)
    beginnings = tuple(f"{name}." for name in names) or ("",)
    are_part = [leaf.startswith(beginnings) for leaf in leaves]
    return jax.tree.unflatten(jax.tree.structure(meta_params), are_part)


def keep_part(tree: MetaParams, are_part: Any) -> MetaParams:
    """`tree` with zeros in the place of what is no part."""
    return jax.tree.map(lambda x, kept: x if kept else jnp.zeros_like(x), tree, are_part)
