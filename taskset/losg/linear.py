"""Distances of a linear system from its target, and the plain sum of squares."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Dim, Scalar

TINY = 1e-6  # added to what a power is taken of


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Quadratic(Problem):
    """0.5 * |W x - y|**2, least value 0; a batch is {"matrix": W, "target": y}."""

    dim: Dim

    @property
    def dims(self) -> Dims:
        return (self.dim,)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        return 0.5 * jnp.sum(residual(params, batch) ** 2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Norm(Problem):
    """The `power`-norm of |W x - y| + 1e-6; a batch is {"matrix": W, "target": y}.

    Its least value is dim**(1 / power) * 1e-6. With a power below 1 it is no norm, and steep.
    """

    dim: Dim
    power: Scalar  # [] float32, positive

    @property
    def dims(self) -> Dims:
        return (self.dim,)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        powers = (jnp.abs(residual(params, batch)) + TINY) ** self.power
        return self.dim.sum(powers) ** (1 / self.power)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class IsotropicQuadratic(Problem):
    """|x|**2, least value 0 at 0."""

    dim: Dim

    @property
    def dims(self) -> Dims:
        return (self.dim,)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del batch, key
        return jnp.sum(params**2)


def residual(params: jax.Array, batch: Batch) -> jax.Array:
    """W x - y, [dim]."""
    return batch["matrix"] @ params - batch["target"]
