"""Gradient descent, momentum and Adam whose every number may be tuned.

Each has the `init` and `update` of an optax transformation and goes wherever one goes. The
conventions are those of Franceschi et al. 2017 (https://arxiv.org/abs/1703.01785); optax's Adam has
its epsilon outside of the root, whose derivative at a gradient of zero is not a number.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp

from taskset.base import Params
from taskset.errors import InputError

# A number; [num_steps], one for each step, the last for all later ones; [num_steps, num_tensors],
# for each tensor of the parameters, too; or numbers and [num_steps] for each group of parameters,
# in a tree that the tree of the parameters begins with.
Schedule: TypeAlias = Any


def by_tensor(schedule: Schedule, params: Params) -> Any:
    """A number or [num_steps] for each tensor of `params`; raises `InputError` if there is none."""
    leaves, structure = jax.tree.flatten(params)
    if getattr(schedule, "ndim", 0) == 2:
        if schedule.shape[1] != len(leaves):
            raise InputError(
                f"a schedule has the shape {schedule.shape}, and there are {len(leaves)} tensors; "
                f"it must be [num_steps, {len(leaves)}]"
            )
        return structure.unflatten([schedule[:, index] for index in range(len(leaves))])
    return jax.tree.broadcast(schedule, params)


def at_step(schedule: Schedule, step: jax.Array, params: Params) -> Any:
    """The numbers of `step`, [] int32: one of its dtype, [], for each tensor of `params`."""

    def number(entry: Any, param: jax.Array) -> jax.Array:
        entry = jnp.asarray(entry, param.dtype)
        if entry.ndim > 1:
            raise InputError(
                f"a schedule has the shape {entry.shape}; it must be [], [num_steps] or "
                "[num_steps, num_tensors], or a tree of the first two where groups of parameters "
                "differ"
            )
        return jnp.take(entry, step, mode="clip") if entry.ndim else entry

    return jax.tree.map(number, by_tensor(schedule, params), params)


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


class AveragesState(NamedTuple):
    """The state of `Averages`."""

    step: jax.Array  # [] int32
    averages: tuple[Any, ...]  # each of the structure of the parameters


@dataclasses.dataclass(frozen=True)
class Averages(abc.ABC):
    """What moves the parameters by running averages alone: a <- decay a + contribution, for each.

    The gradient reaches the parameters through averages only, which is what makes a step
    reversible: the averages after it say how far the parameters moved.
    """

    @abc.abstractmethod
    def init(self, params: Params) -> AveragesState:
        """The averages to start from."""

    @abc.abstractmethod
    def map_decays(self, function: Callable[[Schedule], Schedule]) -> Self:
        """The same with `function` of each decay."""

    @property
    @abc.abstractmethod
    def decay_schedules(self) -> tuple[Schedule, ...]:
        """Of each average."""

    def decays(self, step: jax.Array, params: Params) -> tuple[Any, ...]:
        """Of each average: a number, [], for each tensor of `params`."""
        return tuple(at_step(schedule, step, params) for schedule in self.decay_schedules)

    @abc.abstractmethod
    def contributions(self, gradients: Any, step: jax.Array, params: Params) -> tuple[Any, ...]:
        """What a gradient adds to each average."""

    @abc.abstractmethod
    def direction(self, averages: tuple[Any, ...], step: jax.Array, params: Params) -> Any:
        """What is added to the parameters when the averages have become `averages`.

        Of `params` only shapes and dtypes are used, here as in the others.
        """

    def after(
        self, gradients: Any, averages: tuple[Any, ...], step: jax.Array, params: Params
    ) -> tuple[Any, ...]:
        """What `averages` become with a gradient."""
        decays = self.decays(step, params)
        added = self.contributions(gradients, step, params)
        join = lambda decay, old, new: decay * old + new
        entries = zip(decays, averages, added, strict=True)
        return tuple(jax.tree.map(join, *entry) for entry in entries)

    def update(self, gradients: Any, state: AveragesState, params: Params, **extra_args: Any):
        del extra_args
        averages = self.after(gradients, state.averages, state.step, params)
        updates = self.direction(averages, state.step, params)
        return updates, AveragesState(state.step + 1, averages)


@dataclasses.dataclass(frozen=True)
class Momentum(Averages):
    """m <- decay m + g, then w <- w - learning_rate m; damped, (1 - decay) g in place of g.

    The damped form is that of Maclaurin et al. 2015 (https://arxiv.org/abs/1502.03492), with m the
    negative of their velocity.
    """

    learning_rate: Schedule
    decay: Schedule
    damped: bool = False
    initial_momentum: Any = None  # of the structure of the parameters; zeros unless given

    def init(self, params: Params) -> AveragesState:
        momentum = self.initial_momentum
        if momentum is None:
            momentum = jax.tree.map(jnp.zeros_like, params)
        return AveragesState(jnp.zeros((), jnp.int32), (momentum,))

    def map_decays(self, function: Callable[[Schedule], Schedule]) -> Self:
        return dataclasses.replace(self, decay=jax.tree.map(function, self.decay))

    @property
    def decay_schedules(self) -> tuple[Schedule, ...]:
        return (self.decay,)

    def contributions(self, gradients: Any, step: jax.Array, params: Params) -> tuple[Any, ...]:
        if not self.damped:
            return (gradients,)
        (decay,) = self.decays(step, params)
        return (jax.tree.map(lambda decay, g: (1 - decay) * g, decay, gradients),)

    def direction(self, averages: tuple[Any, ...], step: jax.Array, params: Params) -> Any:
        rate = at_step(self.learning_rate, step, params)
        return jax.tree.map(lambda rate, m: -rate * m, rate, *averages)


@dataclasses.dataclass(frozen=True)
class Adam(Averages):
    """Adam with `epsilon` inside of the root, so that a gradient of zero has a derivative."""

    learning_rate: Schedule
    b1: Schedule = 0.9
    b2: Schedule = 0.999
    epsilon: float = 1e-6

    def init(self, params: Params) -> AveragesState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AveragesState(jnp.zeros((), jnp.int32), (zeros, zeros))

    def map_decays(self, function: Callable[[Schedule], Schedule]) -> Self:
        b1, b2 = (jax.tree.map(function, decay) for decay in (self.b1, self.b2))
        return dataclasses.replace(self, b1=b1, b2=b2)

    @property
    def decay_schedules(self) -> tuple[Schedule, ...]:
        return self.b1, self.b2

    def contributions(self, gradients: Any, step: jax.Array, params: Params) -> tuple[Any, ...]:
        b1, b2 = self.decays(step, params)
        first = jax.tree.map(lambda decay, g: (1 - decay) * g, b1, gradients)
        return first, jax.tree.map(lambda decay, g: (1 - decay) * jnp.square(g), b2, gradients)

    def direction(self, averages: tuple[Any, ...], step: jax.Array, params: Params) -> Any:
        def tensor(rate: jax.Array, b1: jax.Array, b2: jax.Array, m: jax.Array, v: jax.Array):
            count = (step + 1).astype(m.dtype)
            rate = rate * jnp.sqrt(1 - b2**count) / (1 - b1**count)
            return -rate * m / jnp.sqrt(v + self.epsilon)

        rate = at_step(self.learning_rate, step, params)
        return jax.tree.map(tensor, rate, *self.decays(step, params), *averages)
