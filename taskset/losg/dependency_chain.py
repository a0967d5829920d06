"""Parameters each of which is to shrink faster than the one before."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Dim

TINY = 1e-6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DependencyChain(Problem):
    """The sum over i of p[0]**2 + p[i + 1]**2 / (p[i]**2 + 1e-6), least value 0 at 0.

    The first term is in the sum once for each i, as in the released code.
    """

    dim: Dim  # one more than there are terms

    @property
    def dims(self) -> Dims:
        return (self.dim,)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del batch, key
        squares = params**2
        links = squares[1:] / (squares[:-1] + TINY)
        return (self.dim.count - 1) * squares[0] + jnp.sum(links)
