"""Where a hyper-parameter may lie, and the unconstrained number that stands for it.

The outer optimizer moves *free* numbers. A domain either maps all of them into itself (`Positive`,
`AtLeast`, `Between`), so that no step can leave it, or takes them as they are and puts back what a
step carried outside (`Box`, `Budget`): the nearest point, after each outer step.
"""

import abc
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from taskset.errors import InputError

BISECTIONS = 60  # more than the bits of a float64


@dataclasses.dataclass(frozen=True)
class Domain(abc.ABC):
    """A set of arrays of one shape."""

    @abc.abstractmethod
    def value(self, free: jax.Array) -> jax.Array:
        """The hyper-parameter that `free` stands for; elementwise and differentiable."""

    @abc.abstractmethod
    def free(self, value: jax.Array) -> jax.Array:
        """What `value` maps to `value`: its inverse."""

    @abc.abstractmethod
    def contains(self, value: np.ndarray) -> bool:
        """Whether a run may start at `value`."""

    def project(self, free: jax.Array) -> jax.Array:
        """The nearest array in the domain, where `value` does not see to it."""
        return free


@dataclasses.dataclass(frozen=True)
class Real(Domain):
    """Every real number."""

    def value(self, free: jax.Array) -> jax.Array:
        return free

    def free(self, value: jax.Array) -> jax.Array:
        return value

    def contains(self, value: np.ndarray) -> bool:
        return bool(np.all(np.isfinite(value)))


@dataclasses.dataclass(frozen=True)
class Positive(Domain):
    """Above zero, on a logarithmic scale: learning rates and penalties."""

    def value(self, free: jax.Array) -> jax.Array:
        return jnp.exp(free)

    def free(self, value: jax.Array) -> jax.Array:
        return jnp.log(value)

    def contains(self, value: np.ndarray) -> bool:
        return bool(np.all((value > 0) & np.isfinite(value)))


@dataclasses.dataclass(frozen=True)
class AtLeast(Domain):
    """Above `low`, by softplus: about linear for large numbers."""

    low: float = 0.0

    def value(self, free: jax.Array) -> jax.Array:
        return self.low + jax.nn.softplus(free)

    def free(self, value: jax.Array) -> jax.Array:
        above = value - self.low
        return above + jnp.log(-jnp.expm1(-above))

    def contains(self, value: np.ndarray) -> bool:
        return bool(np.all((value > self.low) & np.isfinite(value)))


@dataclasses.dataclass(frozen=True)
class _Interval(Domain, abc.ABC):
    """From `low` to `high`. Raises `InputError` when that is empty."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise InputError(
                f"{type(self).__name__}: low is {self.low} and high {self.high}; "
                "both must be finite, and low below high"
            )


@dataclasses.dataclass(frozen=True)
class Between(_Interval):
    """Between `low` and `high`, by a stretched sigmoid; the logit for 0 and 1."""

    def value(self, free: jax.Array) -> jax.Array:
        return self.low + (self.high - self.low) * jax.nn.sigmoid(free)

    def free(self, value: jax.Array) -> jax.Array:
        return jnp.log(value - self.low) - jnp.log(self.high - value)

    def contains(self, value: np.ndarray) -> bool:
        return bool(np.all((self.low < value) & (value < self.high)))


@dataclasses.dataclass(frozen=True)
class Whole(_Interval):
    """The integers from `low` to `high`, ends included: a sigmoid, rounded down.

    A function of it has no derivative by the free number, so it takes an evolution strategy, or a
    self-tuning network, whose response is to the free number itself.
    """

    def value(self, free: jax.Array) -> jax.Array:
        reached = self.low + (self.high + 1 - self.low) * jax.nn.sigmoid(free)
        return jnp.minimum(jnp.floor(reached), jnp.asarray(self.high, free.dtype))

    def free(self, value: jax.Array) -> jax.Array:
        middle = value + 0.5
        return jnp.log(middle - self.low) - jnp.log(self.high + 1 - middle)

    def contains(self, value: np.ndarray) -> bool:
        inside = (self.low <= value) & (value <= self.high)
        return bool(np.all(inside & (value == np.round(value))))


@dataclasses.dataclass(frozen=True)
class Box(_Interval):
    """From `low` to `high`, ends included, by clipping after each outer step."""

    def value(self, free: jax.Array) -> jax.Array:
        return free

    def free(self, value: jax.Array) -> jax.Array:
        return value

    def contains(self, value: np.ndarray) -> bool:
        return bool(np.all((self.low <= value) & (value <= self.high)))

    def project(self, free: jax.Array) -> jax.Array:
        return jnp.clip(free, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class Budget(Domain):
    """Weights from 0 to 1 whose sum is at most `total`: of which examples to trust.

    Franceschi et al. 2017 (https://arxiv.org/abs/1703.01785), section 5.1.
    """

    total: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.total < math.inf:
            raise InputError(f"Budget: total is {self.total}; it must be positive and finite")

    def value(self, free: jax.Array) -> jax.Array:
        return free

    def free(self, value: jax.Array) -> jax.Array:
        return value

    def contains(self, value: np.ndarray) -> bool:
        inside = np.all((value >= 0) & (value <= 1))
        return bool(inside and value.sum() <= self.total * (1 + 1e-6))

    def project(self, free: jax.Array) -> jax.Array:
        """The nearest point is clip(free - t, 0, 1) for the least t >= 0 that keeps the budget."""

        def halve(_: int, bounds: tuple[jax.Array, jax.Array]):
            low, high = bounds
            middle = (low + high) / 2
            over = jnp.sum(jnp.clip(free - middle, 0, 1)) > self.total
            return jnp.where(over, middle, low), jnp.where(over, high, middle)

        zero = jnp.zeros((), free.dtype)
        bounds = zero, jnp.maximum(jnp.max(free), zero)
        _, shift = jax.lax.fori_loop(0, BISECTIONS, halve, bounds)
        fits = jnp.sum(jnp.clip(free, 0, 1)) <= self.total
        return jnp.clip(free - jnp.where(fits, zero, shift), 0, 1)
