"""A data set held as arrays on the device, random access by key."""

import dataclasses
from collections.abc import Mapping

import jax

from taskset.base import Batch, Dataset, Key, Split


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ArrayDataset(Dataset):
    """Examples of four splits; batches are drawn uniformly with replacement.

    Images stay flat uint8, [num_examples, height * width * channels]: a gather of flat rows is
    several times faster than one of image-shaped ones, and a quarter of the bytes of float32.
    """

    arrays: Mapping[Split, Batch]  # leaves [num_examples, ...]

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        examples = self.arrays[split]
        num_examples = jax.tree.leaves(examples)[0].shape[0]
        index = jax.random.randint(key, (batch_size,), 0, num_examples)
        return jax.tree.map(lambda x: x[index], examples)

    def whole(self, split: Split) -> Batch:
        return self.arrays[split]
