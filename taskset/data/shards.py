"""Data sets larger than what may lie on the device: shards of the train split, one at a time.

The host puts the next shard in place between truncations. All shards have the same shapes, so no
program is compiled again.
"""

import dataclasses
import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from taskset.base import SPLITS, Split
from taskset.data.arrays import ArrayDataset
from taskset.data.prepared import Arrays
from taskset.errors import InputError

DEFAULT_BUDGET = 2**30  # bytes


def budget() -> int:
    """The bytes that one data set may take on the device: $METAOPT_DATA_BYTES, by default 1 GiB.

    Raises `InputError` when the variable is not a positive whole number.
    """
    text = os.environ.get("METAOPT_DATA_BYTES") or str(DEFAULT_BUDGET)
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"METAOPT_DATA_BYTES is {text!r}; it must be a positive number of bytes")
    return int(text)


@dataclasses.dataclass(frozen=True, eq=False)
class ShardedData:
    """A data set whose train split rotates through the device; held-out splits stay there.

    Raises `InputError` when the held-out splits alone take more than the budget.
    """

    arrays: Arrays  # in host memory, or mapped from a file; train in random order
    num_bytes: int  # what a shard may take, together with the held-out splits
    _held_out: dict[Split, dict[str, jax.Array]] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        held_out = {split: dict(self.arrays[split]) for split in SPLITS if split != "train"}
        fixed = size_of(held_out)
        if fixed + self._example_bytes > self.num_bytes:
            raise InputError(
                f"the held-out splits take {fixed:,} bytes, of {self.num_bytes:,} for the data set;"
                f" set METAOPT_DATA_BYTES to more"
            )
        with jax.ensure_compile_time_eval():
            object.__setattr__(self, "_held_out", jax.device_put(held_out))

    @property
    def num_shards(self) -> int:
        """How many shards hold every training example."""
        room = self.num_bytes - size_of(self._held_out)
        return math.ceil(self._num_train / (room // self._example_bytes))

    def shard(self, index: int) -> ArrayDataset:
        """Shard `index` modulo `num_shards`, on the default device.

        The last one is filled up with the first examples.
        """
        size = math.ceil(self._num_train / self.num_shards)
        start = index % self.num_shards * size
        rows = np.arange(start, start + size) % self._num_train
        train = {name: array[rows] for name, array in self.arrays["train"].items()}
        with jax.ensure_compile_time_eval():  # not a tracer of the caller's jit
            return ArrayDataset({"train": jax.device_put(train), **self._held_out})

    @property
    def _num_train(self) -> int:
        return len(next(iter(self.arrays["train"].values())))

    @property
    def _example_bytes(self) -> int:
        return size_of({"train": self.arrays["train"]}) // self._num_train


def size_of(splits: Mapping[Any, Mapping[str, np.ndarray | jax.Array]]) -> int:
    """The bytes of all arrays."""
    return sum(array.nbytes for arrays in splits.values() for array in arrays.values())
