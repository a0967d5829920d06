"""A winding valley that leads outward."""

import dataclasses
import math

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Dim

TINY = 1e-6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OutwardSnake(Problem):
    """The sum over the rows r of a minibatch of

        r[0] / (|p| + 1e-6) + sum over i of ((p[i + 1] - pi * cos(p[i])) * r[i + 1])**2

    A batch is {"rows": [batch, dim] float32}; one of another size than `batch` counts as if it had
    that many rows.
    """

    dim: Dim
    batch: Dim

    @property
    def dims(self) -> Dims:
        return (self.dim,)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        rows = batch["rows"]
        outward = self.batch.mean(rows[:, 0]) / (jnp.sqrt(jnp.sum(params**2)) + TINY)
        weight = self.batch.mean(rows[:, 1:] ** 2)
        winding = (params[1:] - math.pi * jnp.cos(params[:-1])) ** 2
        return self.batch.count * (outward + jnp.sum(weight * winding))
