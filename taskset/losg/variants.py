"""Several problems in one program, of which an input picks one."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem
from taskset.networks.dims import Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Variants(Problem):
    """One of `problems`, which have parameters and batches of the same kind."""

    problems: tuple[Problem, ...]
    index: Scalar  # [] int32

    @property
    def dims(self) -> Dims:
        return self.problems[0].dims

    def init(self, key: Key) -> Params:
        start = self.problems[0].init(key)
        for i, problem in enumerate(self.problems[1:], start=1):
            own = problem.init(key)
            start = jax.tree.map(lambda x, y, i=i: jnp.where(self.index == i, y, x), start, own)
        return start

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        losses = []
        for i, problem in enumerate(self.problems):
            # The others see ones: their gradients, times 0, have to be finite wherever this one is.
            own = jax.tree.map(lambda x, i=i: jnp.where(self.index == i, x, 1.0), params)
            losses.append(problem.loss(own, batch, key))
        picked = losses[0]
        for i, loss in enumerate(losses[1:], start=1):
            picked = jnp.where(self.index == i, loss, picked)
        return picked
