"""The images of a TaskSet configuration: a data set by TaskSet's name, from either source."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import SPLITS, Split
from taskset.data import embedded, shards, sources
from taskset.data.arrays import ArrayDataset
from taskset.data.images import DataInfo
from taskset.data.shards import ShardedData
from taskset.data.stand_ins import STAND_INS
from taskset.errors import InputError

# Examples of a split after padding, at least: all stand-ins of one image shape get the same shapes.
PADDED_TRAIN, PADDED_HELD_OUT = 8192, 1024


@dataclasses.dataclass(frozen=True)
class ImageData:
    """Labelled images by the name that TaskSet and tensorflow-datasets use, as "mnist".

    With source "embedded", TaskSet's names mean their stand-ins (see `stand_ins`); any other
    embedded name means itself. Raises `InputError` for an unknown name or source, or when
    `num_train` is below 1.
    """

    name: str
    source: str  # "embedded" or "tfds"
    num_train: int | None = None  # training examples that are used, at most

    def __post_init__(self) -> None:
        sources.check(self.stored_name, self.source)
        if self.num_train is not None and self.num_train < 1:
            raise InputError(f"num_train is {self.num_train}; it must be at least 1")

    @property
    def stored_name(self) -> str:
        """The name of the data set that is loaded."""
        return STAND_INS.get(self.name, self.name) if self.source == "embedded" else self.name

    def info(self) -> DataInfo:
        """What is known about the data set; `num_examples` as capped by `num_train`."""
        found = sources.info(self.stored_name, self.source)
        return found._replace(num_examples={**found.num_examples, "train": self._cap(found)})

    def load(self, *, padded: bool = False) -> ArrayDataset:
        """The images on the default device; of a data set over the budget, the first shard.

        `num_train` and the numbers of `padded` arrays are `counts`: the arrays are the same, and
        shared, whatever `num_train`. Raises `InputError` when the data has to be downloaded first.
        """
        if self._num_bytes() > shards.budget():
            return self.shards().shard(0)
        data = _arrays(self.stored_name, self.source, padded)
        if not padded and self.num_train is None:
            return data
        return ArrayDataset(data.arrays, _counts(self.info(), SPLITS if padded else ("train",)))

    @property
    def num_shards(self) -> int:
        """Parts that keep to the budget; 1 for a data set that fits."""
        return self.shards().num_shards if self._num_bytes() > shards.budget() else 1

    def shards(self) -> ShardedData:
        """The same in shards that keep to `shards.budget()`, for rotation between truncations."""
        return _shards(self.stored_name, self.source, self._cap(self.info()), shards.budget())

    def _cap(self, info: DataInfo) -> int:
        num_stored = info.num_examples["train"]
        return num_stored if self.num_train is None else min(self.num_train, num_stored)

    def _num_bytes(self) -> int:
        info = self.info()
        return sum(info.num_examples.values()) * (info.num_features + 4)


@functools.lru_cache(maxsize=8)
def _arrays(name: str, source: str, padded: bool) -> ArrayDataset:
    """The images in random order, so that the first ones are a fair sample."""
    if not padded and name not in embedded.BUILDERS:
        return sources.load(name, source)
    splits = _in_random_order(name, source)
    if padded:
        splits = {split: _padded(split, examples) for split, examples in splits.items()}
    with jax.ensure_compile_time_eval():  # a cached value must not be a tracer of the caller's jit
        return ArrayDataset(jax.device_put(splits))


@functools.lru_cache(maxsize=2)
def _shards(name: str, source: str, num_train: int, num_bytes: int) -> ShardedData:
    splits = _in_random_order(name, source)
    train = {key: array[:num_train] for key, array in splits["train"].items()}
    return ShardedData({**splits, "train": train}, num_bytes)


def _in_random_order(name: str, source: str) -> Mapping[str, Mapping[str, np.ndarray]]:
    """The arrays of a data set; only the oldest embedded ones are not stored in random order."""
    splits = sources.read(name, source)
    if source != "embedded" or name not in embedded.BUILDERS:
        return splits
    rng = np.random.RandomState(0)
    orders = {split: rng.permutation(len(splits[split]["label"])) for split in SPLITS}
    return {s: {key: x[orders[s]] for key, x in splits[s].items()} for s in SPLITS}


def _padded(split: str, examples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The examples and zeros after them."""
    least = PADDED_TRAIN if split == "train" else PADDED_HELD_OUT
    missing = max(0, least - len(examples["label"]))
    widths = lambda array: ((0, missing), *((0, 0),) * (array.ndim - 1))
    return {name: np.pad(array, widths(array)) for name, array in examples.items()}


def _counts(info: DataInfo, splits: Sequence[Split]) -> dict[Split, jax.Array]:
    with jax.ensure_compile_time_eval():
        return {split: jnp.asarray(info.num_examples[split], jnp.int32) for split in splits}
