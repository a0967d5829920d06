"""Any optimizer on networks wider than those that its learning rate was found on.

The maximal update parametrisation of Yang et al. 2022, "Tensor programs V"
(https://arxiv.org/abs/2203.03466), for learned optimizers Therien et al. 2024
(https://arxiv.org/abs/2406.00153): an update whose numbers are as large at every width moves the
units behind a wide layer further, for more terms of their sums move together. Divided by how many
times more inputs a matrix has than that of the base network, it moves them alike.

The other half is initialisation: the last layer starts at 0, or with deviation 1 / inputs, in place
of its root. Optimizers that move in units of the size of parameters, as `VeLO` and `Celo` do, take
smaller steps where layers are wide already.
"""

import math
from typing import Any

import jax
import optax

from metaopt.learned_optimizers.base import transformation
from taskset.errors import InputError


def scaled_by_width(
    optimizer: optax.GradientTransformationExtraArgs, base_params: Any
) -> optax.GradientTransformationExtraArgs:
    """The optimizer with updates divided by `width_ratios` of the parameters."""

    def update(gradients: Any, state: Any, params: Any, **extra_args: Any):
        updates, state = optimizer.update(gradients, state, params, **extra_args)
        ratios = width_ratios(params, base_params)
        return jax.tree.map(lambda u, ratio: u / ratio, updates, ratios), state

    return transformation(optimizer.init, update)


def width_ratios(params: Any, base_params: Any) -> Any:
    """How many times more inputs than the same tensor of the base network each tensor has.

    `base_params` are arrays, or their shapes and dtypes, of the structure of `params`. All axes of
    a matrix or kernel but the last are inputs; vectors and scalars have a ratio of 1. Returns a
    tree of Python floats. Raises `InputError` where the trees are of two structures.
    """
    ours, theirs = jax.tree.structure(params), jax.tree.structure(base_params)
    if ours != theirs:
        raise InputError(
            f"base_params are {theirs}, the parameters {ours}; give those of the same network, "
            "built narrower"
        )
    return jax.tree.map(lambda x, base: _inputs(x) / _inputs(base), params, base_params)


def _inputs(param: Any) -> int:
    return math.prod(param.shape[:-1]) if len(param.shape) > 1 else 1
