"""What every optimizer can be given: a learning rate, weight decay, tensors to leave alone."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers.base import transformation


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
) -> optax.GradientTransformationExtraArgs:
    """The optimizer with updates `learning_rate * (update - weight_decay * parameter)`.

    `learning_rate` is a number or a schedule, a function of the step; `weight_decay` is decoupled:
    the optimizer does not see it (https://arxiv.org/abs/1711.05101). `mask` is a tree of booleans
    with the structure of the parameters or a prefix of it, or a function from the parameters to
    one; where it is false, the optimizer has no state, sees no gradient, and the update is 0.
    """
    masked = optax.masked(optimizer, mask) if mask is not None else optimizer

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
