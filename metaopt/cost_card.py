"""What a learned optimizer takes, known without running it: sizes, operations, inputs, paper."""

import inspect
import math
import re
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaopt.learned_optimizers.base import LearnedOptimizer, MetaParams, meta_param_shapes

MATRIX, VECTOR = (256, 256), (65_536,)
NUM_STEPS = 1000  # that are announced


class CostCard(NamedTuple):
    """Costs are of a float32 matrix [256, 256] or vector [65536], divided by its parameters.

    What an architecture has or does once for a tensor counts in them.
    """

    kind: str
    what: str
    num_meta_params: int
    state_bytes_per_matrix_parameter: float
    state_bytes_per_vector_parameter: float
    # Of one update: arithmetic and transcendental functions alike, as XLA counts them in the
    # program before it compiles it, so the same on every device.
    flops_per_matrix_parameter: float
    features: Mapping[str, Mapping[str, int]]  # how many of what enter, by level
    uses: tuple[str, ...]  # of "value", "valid_value" and "num_steps"
    paper: str | None  # its address


def cost_card(optimizer: LearnedOptimizer) -> CostCard:
    """The card of an optimizer, in a second or less; nothing is compiled or allocated.

    Raises `InputError` where it cannot be built.
    """
    meta_params = meta_param_shapes(optimizer)
    module = sys.modules[type(optimizer).__module__]
    return CostCard(
        kind=type(optimizer).__name__,
        what=inspect.cleandoc(module.__doc__ or "").partition("\n")[0],
        num_meta_params=sum(leaf.size for leaf in jax.tree.leaves(meta_params)),
        state_bytes_per_matrix_parameter=_state_bytes(optimizer, meta_params, MATRIX),
        state_bytes_per_vector_parameter=_state_bytes(optimizer, meta_params, VECTOR),
        flops_per_matrix_parameter=_flops(optimizer, meta_params, MATRIX),
        features={
            level: {name: number for name, number in numbers.items() if number}
            for level, numbers in optimizer.features.items()
        },
        uses=optimizer.uses,
        paper=_paper(type(optimizer).__doc__) or _paper(module.__doc__),
    )


def _state(optimizer: LearnedOptimizer, meta_params: MetaParams, shape: tuple[int, ...]) -> Any:
    """The state of one tensor, as shapes."""
    init = lambda meta_params, param: optimizer.as_optax(meta_params, num_steps=NUM_STEPS).init(
        param
    )
    return jax.eval_shape(init, meta_params, jax.ShapeDtypeStruct(shape, jnp.float32))


def _state_bytes(
    optimizer: LearnedOptimizer, meta_params: MetaParams, shape: tuple[int, ...]
) -> float:
    leaves = jax.tree.leaves(_state(optimizer, meta_params, shape))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in leaves) / math.prod(shape)


def _flops(optimizer: LearnedOptimizer, meta_params: MetaParams, shape: tuple[int, ...]) -> float:
    def update(meta_params: MetaParams, param: jax.Array, state: Any, loss: jax.Array) -> Any:
        transformation = optimizer.as_optax(meta_params, num_steps=NUM_STEPS)
        return transformation.update(param, state, param, value=loss)

    param = jax.ShapeDtypeStruct(shape, jnp.float32)
    state, loss = _state(optimizer, meta_params, shape), jax.ShapeDtypeStruct((), jnp.float32)
    lowered = jax.jit(update).lower(meta_params, param, state, loss)
    counted = lowered.cost_analysis() or {}
    flops = counted.get("flops", 0.0) + counted.get("transcendentals", 0.0)
    return flops / math.prod(shape)


def _paper(text: str | None) -> str | None:
    """The address of the paper that a docstring names first."""
    found = re.search(r"arxiv(?:\.org/abs/|:)(\d{4}\.\d{4,5})", text or "", re.IGNORECASE)
    return f"https://arxiv.org/abs/{found[1]}" if found else None
