"""A well whose gradient is in two parameters at a time."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Dim

TINY = 1e-12


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MinMaxWell(Problem):
    """max p**2 + 1 / min p**2 - 2 + 1e-12, least value 1e-12 where every entry is 1 or -1."""

    dim: Dim

    @property
    def dims(self) -> Dims:
        return (self.dim,)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del batch, key
        squares, mask = params**2, self.dim.mask()
        least = jnp.min(squares if mask is None else jnp.where(mask, squares, jnp.inf))
        return jnp.max(squares) + 1 / least - 2 + TINY
