"""A data set held as arrays on the device, random access by key."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from taskset.base import Batch, Dataset, Key, Split


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ArrayDataset(Dataset):
    """Examples of four splits; batches are drawn uniformly with replacement.

    Images stay flat uint8, [num_examples, height * width * channels]: a gather of flat rows is
    several times faster than one of image-shaped ones, and a quarter of the bytes of float32.

    A split in `counts` has only its first so many examples, and the rest are padding. A count is an
    argument of the compiled program, so one program serves all counts. Examples that are to be left
    out fairly have to be in random order.

    A smaller batch begins a larger one: with the same key, its examples are the first ones of it.
    """

    arrays: Mapping[Split, Batch]  # leaves [num_examples, ...]
    counts: Mapping[Split, jax.Array] | None = None  # [] int32, from 1 to num_examples

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        index = jax.random.randint(key, (batch_size,), 0, self._count(split))
        return jax.tree.map(lambda x: x[index], self.arrays[split])

    def whole(self, split: Split) -> Batch:
        """All examples of `split`; in place of padding, its examples over again from the first."""
        examples = self.arrays[split]
        if split not in (self.counts or {}):
            return examples
        index = jnp.arange(_num_rows(examples), dtype=jnp.int32) % self._count(split)
        return jax.tree.map(lambda x: x[index], examples)

    def _count(self, split: Split) -> jax.Array | int:
        counts = self.counts or {}
        return counts[split] if split in counts else _num_rows(self.arrays[split])


def _num_rows(examples: Batch) -> int:
    return jax.tree.leaves(examples)[0].shape[0]
