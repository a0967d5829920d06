"""How a configuration of TaskSet becomes a task: its data, its fidelity, and its programs."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from taskset.errors import unknown_name
from taskset.networks import activations
from taskset.networks.activations import COEFFICIENTS, Activation, Coefficients
from taskset.networks.choices import Choice
from taskset.networks.dims import Dim, padded_size
from taskset.networks.initializers import Initializer, initializer

Source: TypeAlias = Literal["embedded", "tfds"]
Fidelity: TypeAlias = Literal["intended", "released"]
Buckets: TypeAlias = Literal["exact", "padded"]

VALUES = {
    "source": ("embedded", "tfds"),
    "fidelity": ("intended", "released"),
    "buckets": ("exact", "padded"),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What may vary in building the same configuration.

    With `buckets` "exact", arrays have their own sizes, and a program serves one structure. With
    "padded", sizes are rounded up to those of a bucket, and activations, initialisers and other
    variants become inputs: a program serves every configuration of its bucket, at the same losses
    and gradients. `fidelity` says whether slips of the released code are mended or kept.

    Raises `InputError` for an unknown value.
    """

    source: Source = "embedded"
    fidelity: Fidelity = "intended"
    buckets: Buckets = "exact"

    def __post_init__(self) -> None:
        for name, valid in VALUES.items():
            if getattr(self, name) not in valid:
                raise unknown_name(name, getattr(self, name), valid)

    @property
    def padded(self) -> bool:
        """Whether sizes are rounded up to those of buckets."""
        return self.buckets == "padded"

    @property
    def released(self) -> bool:
        """Whether slips of the released code are kept."""
        return self.fidelity == "released"

    def dim(self, size: int, bucket_sizes: tuple[int, ...]) -> Dim:
        """A dimension of `size`; padded, to the least of ascending `bucket_sizes` that holds it."""
        if not self.padded:
            return Dim(size)
        return Dim(padded_size(size, bucket_sizes), np.int32(size))

    def activation(self, name: str) -> Activation:
        """The activation of this name."""
        activations.check(name)
        if not self.padded:
            return Activation(name)
        return Activation(None, Coefficients(*map(np.float32, COEFFICIENTS[name])))

    def initializer(self, pair: Sequence[Any]) -> Initializer:
        """The initialiser of a configuration's `[name, parameter or None]`."""
        name, parameter = pair
        return initializer(name, parameter, self.fidelity)

    def any_initializer(self, pair: Sequence[Any]) -> Initializer:
        """The same; padded, one program serves orthogonal weights and others.

        For networks whose other differences make programs enough already.
        """
        found = self.initializer(pair)
        return found.either() if self.padded else found

    def choice(self, name: str, names: tuple[str, ...]) -> Choice:
        """The choice of `name` among the `names` of a bucket."""
        if not self.padded:
            return Choice((name,))
        return Choice(names, np.int32(names.index(name)))

    def count(self, number: int) -> Any:
        """`number`, [] int32, where buckets make it an input; None where all there is is used."""
        return np.int32(number) if self.padded else None
