"""Quadratics whose coefficients are sums over a minibatch.

A batch is {"rows": [batch, dim] float32}; one of another size than `batch` counts as if it had that
many rows.
"""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Dim

TINY = 1e-12


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ProjectionQuadratic(Problem):
    """The sum over rows r of |p * r|**2, entry by entry; least value 0 at 0."""

    dim: Dim
    batch: Dim

    @property
    def dims(self) -> Dims:
        return (self.dim,)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        return self.batch.count * jnp.sum(params**2 * self.batch.mean(batch["rows"] ** 2))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SumOfQuadratics(Problem):
    """The sum over rows r of |p - r|**2 - |r|**2, plus 1e-12; least at the mean row.

    The squares of rows cancel, so that they are never formed.
    """

    dim: Dim
    batch: Dim

    @property
    def dims(self) -> Dims:
        return (self.dim,)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        mean_row = self.batch.mean(batch["rows"])
        return self.batch.count * jnp.sum(params * (params - 2 * mean_row)) + TINY
