"""How long an inner run is.

A run is cut into truncations of equal length, and restarts only between two of them. So lengths are
multiples of the truncation: `check` says so before anything is compiled. Estimators themselves
weigh a last truncation that is partly beyond the end by the steps it has, so a `Fixed` horizon of
any length is exact, only wasteful.
"""

import abc
import dataclasses
import itertools

import jax
import jax.numpy as jnp

from taskset.base import Key
from taskset.errors import InputError

ENDLESS = 2**31 - 1  # steps; at a thousand a second, three weeks and a half


@dataclasses.dataclass(frozen=True)
class Horizon(abc.ABC):
    """A distribution of lengths of inner runs, in inner steps."""

    @abc.abstractmethod
    def length(self, key: Key, outer_step: jax.Array, truncation: int) -> jax.Array:
        """Draws the length, [] int32, of a run that starts at `outer_step`, [] int32."""

    @abc.abstractmethod
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest length that is ever drawn."""

    def check(self, truncation: int) -> None:
        """Raises `InputError` unless both bounds are positive multiples of `truncation`."""
        if truncation < 1:
            raise InputError(f"truncation is {truncation}; it must be at least 1 inner step")
        for length in self.bounds():
            if length < truncation or length % truncation:
                nearest = max(1, round(length / truncation)) * truncation
                raise InputError(
                    f"horizon {length} is not a multiple of the truncation {truncation}; "
                    f"use {nearest}, or a truncation that divides {length}"
                )


@dataclasses.dataclass(frozen=True)
class Fixed(Horizon):
    """Every run has the same length."""

    steps: int = 200

    def length(self, key: Key, outer_step: jax.Array, truncation: int) -> jax.Array:
        del key, outer_step, truncation
        return jnp.asarray(self.steps, jnp.int32)

    def bounds(self) -> tuple[int, int]:
        return self.steps, self.steps


@dataclasses.dataclass(frozen=True)
class Endless(Horizon):
    """Runs go on for ever, and so are not staggered: tuning while a single model trains."""

    def length(self, key: Key, outer_step: jax.Array, truncation: int) -> jax.Array:
        del key, outer_step, truncation
        return jnp.asarray(ENDLESS, jnp.int32)

    def bounds(self) -> tuple[int, int]:
        return 1, ENDLESS

    def check(self, truncation: int) -> None:
        Fixed(truncation).check(truncation)


@dataclasses.dataclass(frozen=True)
class _Between(Horizon, abc.ABC):
    """Lengths are drawn between two bounds."""

    shortest: int = 100
    longest: int = 2000

    def __post_init__(self) -> None:
        if self.shortest > self.longest:
            raise InputError(
                f"horizon: shortest is {self.shortest}, longest is {self.longest}; "
                "shortest must be at most longest"
            )

    def bounds(self) -> tuple[int, int]:
        return self.shortest, self.longest


@dataclasses.dataclass(frozen=True)
class Uniform(_Between):
    """Uniform over the multiples of the truncation (Metz et al. 2020, arXiv:2009.11243)."""

    shortest: int = 240
    longest: int = 360

    def length(self, key: Key, outer_step: jax.Array, truncation: int) -> jax.Array:
        del outer_step
        low, high = self.shortest // truncation, self.longest // truncation
        return jax.random.randint(key, (), low, high + 1, jnp.int32) * truncation


@dataclasses.dataclass(frozen=True)
class LogUniform(_Between):
    """Log-uniform lengths, rounded to multiples of the truncation (VeLO, arXiv:2211.09760)."""

    def length(self, key: Key, outer_step: jax.Array, truncation: int) -> jax.Array:
        del outer_step
        low, high = jnp.log(float(self.shortest)), jnp.log(float(self.longest))
        drawn = jnp.exp(jax.random.uniform(key, (), minval=low, maxval=high))
        return _to_multiple(drawn, truncation)


@dataclasses.dataclass(frozen=True)
class LinearCurriculum(Horizon):
    """Length grows linearly over outer steps, then stays.

    Each is multiplied by a number between 1 - `jitter` and 1 + `jitter`, up to the greater end.
    Metz et al. 2019 (arXiv:1810.10180): 10 to 10,000 in 20,000 outer steps with jitter 0.2; Metz et
    al. 2020 (arXiv:2009.11243): 300 to 10,000 in 10,000.
    """

    start: int = 100
    end: int = 1000
    outer_steps: int = 1000  # until `end` is reached
    jitter: float = 0.0

    def __post_init__(self) -> None:
        if self.outer_steps < 1:
            raise InputError(f"horizon: outer_steps is {self.outer_steps}; it must be at least 1")
        if not 0 <= self.jitter < 1:
            raise InputError(f"horizon: jitter is {self.jitter}; it must be at least 0 and below 1")

    def length(self, key: Key, outer_step: jax.Array, truncation: int) -> jax.Array:
        progress = jnp.clip(outer_step.astype(jnp.float32) / self.outer_steps, 0.0, 1.0)
        grown = self.start + (self.end - self.start) * progress
        factor = jax.random.uniform(key, (), minval=1 - self.jitter, maxval=1 + self.jitter)
        shortest, longest = self.bounds()
        return _to_multiple(jnp.clip(grown * factor, shortest, longest), truncation)

    def bounds(self) -> tuple[int, int]:
        return round(min(self.start, self.end) * (1 - self.jitter)), max(self.start, self.end)


@dataclasses.dataclass(frozen=True)
class Phases(Horizon):
    """One range of lengths after another; within a range they are log-uniform.

    Phase i goes from outer step `starts[i]` to the next, with lengths from `shortest[i]` to
    `longest[i]`, two equal ones for a fixed length. VeLO (arXiv:2211.09760): 100 to 20,000, then
    200 to 20,000, then 200 to 200,000.
    """

    starts: tuple[int, ...] = (0, 1000)
    shortest: tuple[int, ...] = (100, 200)
    longest: tuple[int, ...] = (1000, 2000)

    def __post_init__(self) -> None:
        if not len(self.starts) == len(self.shortest) == len(self.longest):
            raise InputError(
                f"horizon: {len(self.starts)} starts, {len(self.shortest)} shortest and "
                f"{len(self.longest)} longest; every phase has one of each"
            )
        if self.starts[:1] != (0,) or any(b <= a for a, b in itertools.pairwise(self.starts)):
            raise InputError(f"horizon: starts are {list(self.starts)}; they have to grow from 0")
        for shortest, longest in zip(self.shortest, self.longest, strict=True):
            LogUniform(shortest, longest)  # refuses what is the wrong way round

    def length(self, key: Key, outer_step: jax.Array, truncation: int) -> jax.Array:
        phase = jnp.sum(outer_step >= jnp.asarray(self.starts)) - 1
        low, high = (jnp.log(jnp.asarray(x, jnp.float32)) for x in (self.shortest, self.longest))
        drawn = jax.random.uniform(key, (), minval=low[phase], maxval=high[phase])
        return _to_multiple(jnp.exp(drawn), truncation)

    def bounds(self) -> tuple[int, int]:
        return min(self.shortest), max(self.longest)

    def check(self, truncation: int) -> None:
        for shortest, longest in zip(self.shortest, self.longest, strict=True):
            LogUniform(shortest, longest).check(truncation)


def _to_multiple(length: jax.Array, truncation: int) -> jax.Array:
    return jnp.maximum(1, jnp.round(length / truncation)).astype(jnp.int32) * truncation


# By the names that configurations have for them.
KINDS: dict[str, type[Horizon]] = {
    kind.__name__: kind for kind in (Fixed, Uniform, LogUniform, LinearCurriculum, Phases)
}
