"""Inner problems small enough to know everything about them."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaopt.dynamics import Momentum
from metaopt.hyperparameter_training import HyperparameterTraining, Training
from metaopt.hyperparameters import Hyperparameter
from metaopt.inner_problem import InnerProblem
from taskset.base import Dataset, Key, NoData, Task, TaskFamily


@dataclasses.dataclass(frozen=True)
class Line(InnerProblem):
    """x_{t+1} = x_t + theta from x_0 = 0, loss x_t before the step: everything in closed form."""

    def load_data(self) -> Dataset:
        return NoData()

    def init(self, meta_params: Any, data: Dataset, key: Key) -> jax.Array:
        return jnp.zeros(())

    def step(self, meta_params: Any, state: jax.Array, data: Dataset, key: Key):
        return state + meta_params, state

    def outer_loss(self, meta_params: Any, state: jax.Array, data: Dataset, key: Key) -> jax.Array:
        return state


@dataclasses.dataclass(frozen=True)
class LinearLosses(InnerProblem):
    """Step t has the loss g_t . theta: the variance laws of ES and PES hold exactly."""

    gradients: tuple[tuple[float, ...], ...]

    def load_data(self) -> Dataset:
        return NoData()

    def init(self, meta_params: Any, data: Dataset, key: Key) -> jax.Array:
        return jnp.zeros((), jnp.int32)

    def step(self, meta_params: Any, state: jax.Array, data: Dataset, key: Key):
        return state + 1, jnp.dot(jnp.asarray(self.gradients)[state], meta_params)

    def outer_loss(self, meta_params: Any, state: jax.Array, data: Dataset, key: Key) -> jax.Array:
        return jnp.dot(jnp.asarray(self.gradients)[-1], meta_params)


@dataclasses.dataclass(frozen=True)
class InfluenceBalancing(InnerProblem):
    """s <- A s + theta u, loss (s_1 - 1)^2 / 2, optimum theta = -1/6.

    Short windows point the wrong way: d s_1 / d theta is positive for 40 steps and -6 in the end
    (Tallec and Ollivier 2017, arXiv:1702.05043, section 4; constants of Vicol et al. 2021).
    """

    def load_data(self) -> Dataset:
        return NoData()

    def init(self, meta_params: Any, data: Dataset, key: Key) -> jax.Array:
        return jnp.ones(23)

    def step(self, meta_params: Any, state: jax.Array, data: Dataset, key: Key):
        shifted = jnp.concatenate([state[1:], jnp.zeros(1)])
        signs = jnp.where(jnp.arange(23) < 10, 1.0, -1.0)
        state = 0.5 * state + 0.5 * shifted + meta_params * signs
        return state, self.outer_loss(meta_params, state, data, key)

    def outer_loss(self, meta_params: Any, state: jax.Array, data: Dataset, key: Key) -> jax.Array:
        return 0.5 * (state[0] - 1.0) ** 2


class Descent(NamedTuple):
    """Gradient descent, somewhere on its way."""

    step: jax.Array  # [] int32
    position: jax.Array  # [2]


@dataclasses.dataclass(frozen=True)
class ToyRegression(InnerProblem):
    """Gradient descent on a bumpy 2-D function; theta is the logarithm of a decaying learning rate.

    The meta-loss over 100 steps has its minimum, 556.5 as a sum, near theta = (2.8, -2.3), behind a
    ridge that truncated gradients do not cross (Vicol et al. 2021, arXiv:2112.13835, section 5.1).
    """

    num_steps: int = 100

    def load_data(self) -> Dataset:
        return NoData()

    def init(self, meta_params: Any, data: Dataset, key: Key) -> Descent:
        return Descent(jnp.zeros((), jnp.int32), jnp.ones(2))

    def step(self, meta_params: Any, state: Descent, data: Dataset, key: Key):
        progress = state.step.astype(jnp.float32) / self.num_steps
        rate = (1 - progress) * jnp.exp(meta_params[0]) + progress * jnp.exp(meta_params[1])
        position = state.position - rate * jax.grad(self._function)(state.position)
        return Descent(state.step + 1, position), self._function(position)

    def outer_loss(self, meta_params: Any, state: Descent, data: Dataset, key: Key) -> jax.Array:
        return self._function(state.position)

    def _function(self, x: jax.Array) -> jax.Array:
        bumps = jnp.sin(x[1]) ** 2 * jnp.exp(-5.0 * x[0] ** 2)
        return jnp.sqrt(x[0] ** 2 + 5.0) - jnp.sqrt(5.0) + bumps + 0.25 * jnp.abs(x[1] - 100.0)


class Spiked(NamedTuple):
    """A point on a parabola, and what its losses are multiplied by."""

    position: jax.Array  # [2]
    factor: jax.Array  # []


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Spike(NoData):
    """The data of `Poisoned`, so that one compiled program takes all of them."""

    factor: jax.Array


@dataclasses.dataclass(frozen=True)
class Poisoned(InnerProblem):
    """A quadratic per task; a quarter of the tasks have every loss multiplied by the data."""

    def load_data(self) -> Any:
        return Spike(jnp.float32(1.0))

    def init(self, meta_params: Any, data: Any, key: Key) -> Spiked:
        key_position, key_spike = jax.random.split(key)
        spiked = jax.random.bernoulli(key_spike, 0.25)
        position = jax.random.normal(key_position, (2,))
        return Spiked(position, jnp.where(spiked, data.factor, 1.0))

    def step(self, meta_params: Any, state: Spiked, data: Any, key: Key):
        loss = self.outer_loss(meta_params, state, data, key)
        return state._replace(position=state.position * (1.0 - jnp.exp(meta_params))), loss

    def outer_loss(self, meta_params: Any, state: Spiked, data: Any, key: Key) -> jax.Array:
        return state.factor * jnp.sum(state.position**2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PoisonedTask(Task):
    """A parabola whose losses are multiplied by `factor`."""

    factor: jax.Array  # []

    def init(self, key: Key) -> jax.Array:
        return jax.random.normal(key, (2,))

    def loss(self, params: jax.Array, batch: Any, key: Key) -> jax.Array:
        return self.factor * jnp.sum(params**2)


@dataclasses.dataclass(frozen=True)
class PoisonedFamily(TaskFamily):
    """As the tasks of `Poisoned`."""

    batch_size = 0

    def load_data(self) -> Any:
        return Spike(jnp.float32(1.0))

    def sample(self, data: Any, key: Key) -> PoisonedTask:
        return PoisonedTask(jnp.where(jax.random.bernoulli(key, 0.25), data.factor, 1.0))


@dataclasses.dataclass(frozen=True)
class TowardsOne(Training):
    """The inner loss pulls to 1 by exp(theta), and is that of a task without a factor."""

    def hyperparameters(self) -> Any:
        return {"theta": Hyperparameter(-1.0)}

    def inner_loss(self, values: Any, task: Any, params: Any, batch: Any, key: Key) -> jax.Array:
        pull = jnp.exp(values["theta"]) * jnp.sum((params - 1) ** 2)
        return 0.5 * (jnp.sum(params**2) + pull)

    def dynamics(self, values: Any) -> Any:
        return Momentum(0.1, 0.5)


@dataclasses.dataclass(frozen=True)
class OfOneNumber(HyperparameterTraining):
    """Its meta-parameters are the number itself."""

    def values(self, meta_params: Any) -> Any:
        return {"theta": meta_params}


def poisoned_training() -> HyperparameterTraining:
    """`Poisoned` for estimators that know the inner loss and the dynamics."""
    return OfOneNumber(PoisonedFamily(), TowardsOne())


def starting_together(state: Any) -> Any:
    """The state of an estimator, with runs that were staggered all at their start."""
    if not state:
        return state
    if hasattr(state.state, "total_noise"):
        no_noise = jax.tree.map(jnp.zeros_like, state.state.total_noise)
        state = state._replace(state=state.state._replace(noise=no_noise, total_noise=no_noise))
    return state._replace(age=jnp.zeros_like(state.age))
