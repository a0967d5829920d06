"""Several problems at once."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key, Params
from taskset.losg.problem import Dims, Problem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SumTask(Problem):
    """The sum of problems with parameters of their own; a batch is a tuple of their batches."""

    problems: tuple[Problem, ...]

    @property
    def dims(self) -> Dims:
        return {f"problem{i}": problem.dims for i, problem in enumerate(self.problems)}

    def init(self, key: Key) -> Params:
        return {
            f"problem{i}": problem.init(jax.random.fold_in(key, i))
            for i, problem in enumerate(self.problems)
        }

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        losses = [
            problem.loss(params[f"problem{i}"], batch[i], jax.random.fold_in(key, i))
            for i, problem in enumerate(self.problems)
        ]
        return sum(losses[1:], losses[0]) if losses else jnp.zeros(())
