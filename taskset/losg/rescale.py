"""Problems in other units."""

import dataclasses

import jax

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rescale(Problem):
    """A problem with parameters `scale` times as large, at the same losses."""

    problem: Problem
    scale: Scalar  # [] float32, positive

    @property
    def dims(self) -> Dims:
        return self.problem.dims

    def init(self, key: Key) -> Params:
        return jax.tree.map(lambda x: self.scale * x, self.problem.init(key))

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        return self.problem.loss(jax.tree.map(lambda x: x / self.scale, params), batch, key)
