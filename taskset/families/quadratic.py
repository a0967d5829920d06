"""Noise-free quadratics with a random spectrum: the family with a closed form, for exact tests."""

import dataclasses
import math
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Dataset, Key, NoData, Params, Task, TaskFamily
from taskset.distributions import log_uniform, log_uniform_int
from taskset.errors import InputError

LARGEST_DIM = 10**9


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Quadratic(Task):
    """0.5 * sum(curvature * (params - minimum)**2), least value 0 at `minimum`."""

    curvature: jax.Array  # [dim] float32, positive
    minimum: jax.Array  # [dim] float32

    def init(self, key: Key) -> Params:
        return jax.random.normal(key, self.minimum.shape)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del batch, key
        return 0.5 * jnp.sum(self.curvature * (params - self.minimum) ** 2)


@dataclasses.dataclass(frozen=True)
class QuadraticFamily(TaskFamily):
    """Curvatures log-uniform in [1/condition, 1], minima and starting points standard normal.

    Raises `InputError` when `dim` or `condition` is below 1.
    """

    dim: int = 10
    condition: float = 10.0

    batch_size = 0  # no data

    def __post_init__(self) -> None:
        if not 1 <= self.dim <= LARGEST_DIM:
            raise InputError(f"quadratic: dim is {self.dim}; it must be from 1 to {LARGEST_DIM:,}")
        if not 1 <= self.condition < math.inf:
            raise InputError(
                f"quadratic: condition is {self.condition}; it must be at least 1 and finite"
            )

    @classmethod
    def draw(cls, rng: np.random.RandomState) -> Self:
        """A random size and condition number."""
        return cls(dim=log_uniform_int(rng, 2, 256), condition=log_uniform(rng, 1.0, 1e4))

    def load_data(self) -> NoData:
        return NoData()

    def sample(self, data: Dataset, key: Key) -> Quadratic:
        del data
        key_curvature, key_minimum = jax.random.split(key)
        exponent = jax.random.uniform(key_curvature, (self.dim,))
        return Quadratic(self.condition**-exponent, jax.random.normal(key_minimum, (self.dim,)))
