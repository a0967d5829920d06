"""What every builder of data gives: arrays in four splits, and what is known about them."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np

from taskset.base import SPLITS

Arrays: TypeAlias = Mapping[str, Mapping[str, np.ndarray]]  # by split, then by name


class Info(Protocol):
    """The facts about a data set, as a NamedTuple of plain values; one type for each kind."""

    @property
    def kind(self) -> str:
        """What it is a set of: one of `taskset.data.sources.KINDS`."""
        ...

    @property
    def name(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def num_examples(self) -> Mapping[str, int]:
        """By split."""
        ...

    @property
    def fingerprint(self) -> str:
        """The sha256 of the arrays, in hex: equal only for equal data."""
        ...

    def summary(self) -> dict[str, Any]:
        """The facts that a table shows: `shape` of an example and number of `classes`."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


class Built(Protocol):
    """A data set in host memory, before it is written."""

    @property
    def splits(self) -> Arrays: ...

    def describe(self, name: str, source: str) -> Info:
        """What is known about it under this name."""
        ...


Builder: TypeAlias = Callable[[], Built]


def fingerprint(splits: Arrays) -> str:
    """The sha256 of all arrays, with their names, dtypes and shapes, in hex."""
    digest = hashlib.sha256()
    for split in SPLITS:
        for name, array in sorted(splits[split].items()):
            digest.update(f"{split}/{name} {array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
