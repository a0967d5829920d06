"""Gradient descent, momentum and Adam whose every number may be tuned.

Each has the `init` and `update` of an optax transformation and goes wherever one goes. The
conventions are those of Franceschi et al. 2017 (https://arxiv.org/abs/1703.01785); optax's Adam has
its epsilon outside of the root, whose derivative at a gradient of zero is not a number.
"""

import dataclasses
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from taskset.base import Params
from taskset.errors import InputError

# A number; [num_steps], one for each step, the last for all later ones; or such for each group of
# parameters, in a tree that the tree of the parameters begins with.
Schedule: TypeAlias = Any


def at_step(schedule: Schedule, step: jax.Array, params: Params) -> Any:
    """The numbers of `step`, [] int32: one of its dtype, [], for each tensor of `params`."""

    def number(entry: Any, param: jax.Array) -> jax.Array:
        entry = jnp.asarray(entry, param.dtype)
        if entry.ndim > 1:
            raise InputError(
                f"a schedule has the shape {entry.shape}; it must be [] or [num_steps], "
                "and a tree of those where groups of parameters differ"
            )
        return jnp.take(entry, step, mode="clip") if entry.ndim else entry

    return jax.tree.map(number, jax.tree.broadcast(schedule, params), params)


@dataclasses.dataclass(frozen=True)
class GradientDescent:
    """w <- w - learning_rate g."""

    learning_rate: Schedule

    def init(self, params: Params) -> jax.Array:
        del params
        return jnp.zeros((), jnp.int32)

    def update(self, gradients: Any, state: jax.Array, params: Params, **extra_args: Any):
        del extra_args
        rate = at_step(self.learning_rate, state, params)
        return jax.tree.map(lambda rate, g: -rate * g, rate, gradients), state + 1


class MomentumState(NamedTuple):
    """The state of `Momentum`."""

    step: jax.Array  # [] int32
    momentum: Any  # of the structure of the parameters


@dataclasses.dataclass(frozen=True)
class Momentum:
    """m <- decay m + g, then w <- w - learning_rate m; damped, (1 - decay) g in place of g.

    The damped form is that of Maclaurin et al. 2015 (https://arxiv.org/abs/1502.03492), with m the
    negative of their velocity.
    """

    learning_rate: Schedule
    decay: Schedule
    damped: bool = False
    initial_momentum: Any = None  # of the structure of the parameters; zeros unless given

    def init(self, params: Params) -> MomentumState:
        momentum = self.initial_momentum
        if momentum is None:
            momentum = jax.tree.map(jnp.zeros_like, params)
        return MomentumState(jnp.zeros((), jnp.int32), momentum)

    def update(self, gradients: Any, state: MomentumState, params: Params, **extra_args: Any):
        del extra_args
        rate = at_step(self.learning_rate, state.step, params)
        decay = at_step(self.decay, state.step, params)
        share = jax.tree.map(lambda decay: 1 - decay if self.damped else 1.0, decay)
        step = lambda decay, m, share, g: decay * m + share * g
        momentum = jax.tree.map(step, decay, state.momentum, share, gradients)
        updates = jax.tree.map(lambda rate, m: -rate * m, rate, momentum)
        return updates, MomentumState(state.step + 1, momentum)


class AdamState(NamedTuple):
    """The state of `Adam`."""

    step: jax.Array  # [] int32
    first: Any  # mean of gradients, of the structure of the parameters
    second: Any  # mean of their squares


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam with `epsilon` inside of the root, so that a gradient of zero has a derivative."""

    learning_rate: Schedule
    b1: Schedule = 0.9
    b2: Schedule = 0.999
    epsilon: float = 1e-6

    def init(self, params: Params) -> AdamState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AdamState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(self, gradients: Any, state: AdamState, params: Params, **extra_args: Any):
        del extra_args
        rate, b1, b2 = (
            at_step(schedule, state.step, params)
            for schedule in (self.learning_rate, self.b1, self.b2)
        )
        mean = lambda decay, old, new: decay * old + (1 - decay) * new
        first = jax.tree.map(mean, b1, state.first, gradients)
        second = jax.tree.map(mean, b2, state.second, jax.tree.map(jnp.square, gradients))
        after = AdamState(state.step + 1, first, second)
        return self.direction(after, rate, b1, b2), after

    def direction(self, after: AdamState, rate: Any, b1: Any, b2: Any) -> Any:
        """The update that follows from the means after a step."""

        def tensor(rate: jax.Array, b1: jax.Array, b2: jax.Array, m: jax.Array, v: jax.Array):
            count = after.step.astype(m.dtype)
            rate = rate * jnp.sqrt(1 - b2**count) / (1 - b1**count)
            return -rate * m / jnp.sqrt(v + self.epsilon)

        return jax.tree.map(tensor, rate, b1, b2, after.first, after.second)
