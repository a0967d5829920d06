"""What every optimizer can be given: rate, weight decay, mask, small state, the width of a base."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers.base import transformation
from metaopt.learned_optimizers.bfloat16_state import with_bfloat16_state
from metaopt.learned_optimizers.width_scaling import scaled_by_width
from taskset.errors import unknown_name

AccumulatorDtype: TypeAlias = Literal["float32", "bfloat16"]
ACCUMULATOR_DTYPES: tuple[AccumulatorDtype, ...] = ("float32", "bfloat16")


class WrappedState(NamedTuple):
    """The state of an optimizer with what it is wrapped in."""

    step: jax.Array  # [] int32
    inner: Any


def wrapped(
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    learning_rate: optax.ScalarOrSchedule = 1.0,
    weight_decay: jax.typing.ArrayLike = 0.0,
    mask: Any | Callable[[Any], Any] = None,
    accumulator_dtype: AccumulatorDtype = "float32",
    base_params: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """The optimizer with updates `learning_rate * (update - weight_decay * parameter)`.

    `learning_rate` is a number or a schedule, a function of the step; `weight_decay` is decoupled:
    the optimizer does not see it (https://arxiv.org/abs/1711.05101). `mask` is a tree of booleans
    with the structure of the parameters or a prefix of it, or a function from the parameters to
    one; where it is false, the optimizer has no state, sees no gradient, and the update is 0.

    With `accumulator_dtype` "bfloat16" what is kept of every parameter takes half the bytes, see
    `bfloat16_state`. `base_params`, parameters of a narrower network of the same structure, or
    their shapes, keep the effect of an update as it is there, see `width_scaling`.
    """
    if accumulator_dtype not in ACCUMULATOR_DTYPES:
        raise unknown_name("accumulator_dtype", str(accumulator_dtype), ACCUMULATOR_DTYPES)
    if accumulator_dtype == "bfloat16":
        optimizer = with_bfloat16_state(optimizer)
    masked = optax.masked(optimizer, mask) if mask is not None else optimizer
    if base_params is not None:
        masked = scaled_by_width(masked, base_params)  # pyright: ignore[reportArgumentType]

    def init(params: Any) -> WrappedState:
        return WrappedState(jnp.zeros((), jnp.int32), masked.init(params))

    def update(gradients: Any, state: WrappedState, params: Any, **extra_args: Any):
        rate = learning_rate(state.step) if callable(learning_rate) else learning_rate
        updates, inner = masked.update(gradients, state.inner, params, **extra_args)

        def scaled(update: jax.Array, param: jax.Array, moves: jax.typing.ArrayLike) -> jax.Array:
            as_update = lambda x: jnp.asarray(x).astype(update.dtype)
            update = (update - as_update(weight_decay) * as_update(param)) * as_update(rate)
            return jnp.where(moves, update, jnp.zeros_like(update))

        moves = mask(params) if callable(mask) else True if mask is None else mask
        # The mask may be a prefix of the tree: each of its values is for all that is below.
        below = lambda moves, *trees: jax.tree.map(lambda u, p: scaled(u, p, moves), *trees)
        updates = jax.tree.map(below, moves, updates, params)
        step = jnp.asarray(optax.safe_increment(state.step))
        return updates, WrappedState(step, inner)

    return transformation(init, update)
