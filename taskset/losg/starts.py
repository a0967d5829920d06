"""Problems with another start than their own."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem, normal
from taskset.networks.dims import Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NormalStart(Problem):
    """A problem that starts from standard normal parameters, whatever its own start."""

    problem: Problem
    chosen: Scalar | None = None  # [] bool: false leaves the start as it is; None: true

    @property
    def dims(self) -> Dims:
        return self.problem.dims

    def init(self, key: Key) -> Params:
        start, chosen = normal(key, self.dims), self.chosen
        if chosen is None:
            return start
        own = self.problem.init(key)
        return jax.tree.map(lambda x, y: jnp.where(chosen, x, y), start, own)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        return self.problem.loss(params, batch, key)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FixedStart(Problem):
    """A problem that starts from the same parameters whatever the key."""

    problem: Problem
    seed: int = dataclasses.field(metadata={"static": True})

    @property
    def dims(self) -> Dims:
        return self.problem.dims

    def init(self, key: Key) -> Params:
        del key
        return self.problem.init(jax.random.key(self.seed))

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        return self.problem.loss(params, batch, key)
