"""Data of tasks that have no examples of their own for each split."""

import dataclasses

import jax

from taskset.base import Batch, Dataset, Key, Split
from taskset.data.arrays import ArrayDataset


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Constants(Dataset):
    """Arrays of a task without examples, as a matrix: every batch is all of them.

    In a batch and not in the task, so that tasks that are trained side by side share one copy.
    """

    arrays: Batch

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        del split, key, batch_size
        return self.arrays

    def whole(self, split: Split) -> Batch:
        del split
        return self.arrays


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OneStream(Dataset):
    """The same examples for all four splits, which then differ in their minibatches alone."""

    examples: Batch  # leaves [num_examples, ...]
    count: jax.Array | None = None  # [] int32: only the first so many; None: all

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        return self._split(split).sample(split, key, batch_size)

    def whole(self, split: Split) -> Batch:
        return self._split(split).whole(split)

    def _split(self, split: Split) -> ArrayDataset:
        counts: dict[Split, jax.Array] | None = None if self.count is None else {split: self.count}
        return ArrayDataset({split: self.examples}, counts)
