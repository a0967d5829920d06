"""Problems whose data no seed decides, as where the released code forgot it."""

import dataclasses

import jax

from taskset.base import Batch, Key, Params
from taskset.losg.generators import Generator
from taskset.losg.problem import Dims, Problem


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Unseeded(Problem):
    """A problem with data of its own for every task: its arrays are part of the task.

    Minibatches are drawn by the key of the loss, and the `batch` that it gets is not looked at.
    """

    problem: Problem
    generator: Generator
    batch_size: int = dataclasses.field(metadata={"static": True})
    arrays: Batch = None  # None until drawn

    @property
    def dims(self) -> Dims:
        return self.problem.dims

    def draw(self, key: Key) -> "Unseeded":
        return dataclasses.replace(self, arrays=self.generator.draw(key))

    def init(self, key: Key) -> Params:
        return self.problem.init(key)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del batch
        key_batch, key_loss = jax.random.split(key)
        data = self.generator.dataset(self.arrays)
        own = data.sample("train", key_batch, self.batch_size)
        return self.problem.loss(params, own, key_loss)
