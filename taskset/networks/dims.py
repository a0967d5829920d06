"""Dimensions of arrays, of which a part may be padding.

Two tasks whose arrays are padded to one size share a compiled program. Padding is exact: what a
network computes from real entries does not depend on it, nor do gradients, which are 0 there.
"""

import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from taskset.errors import InputError

# A leaf of a template: a number of numpy while a task is built, of JAX while its program runs.
Scalar: TypeAlias = Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Dim:
    """A dimension of `padded` entries, of which the first `size` are real."""

    padded: int = dataclasses.field(metadata={"static": True})
    size: Scalar | None = None  # [] int32; None: all of them

    @property
    def count(self) -> jax.Array:
        """The number of real entries, [] float32."""
        return jnp.asarray(self.padded if self.size is None else self.size, jnp.float32)

    def mask(self) -> jax.Array | None:
        """Which entries are real, [padded] bool; None: all of them."""
        return None if self.size is None else jnp.arange(self.padded) < self.size

    def examples(self, x: jax.Array, axis: int = 0) -> jax.Array:
        """The number of real entries of an axis of `x`, [] float32.

        It may have fewer entries than this dimension, as in smaller batches; without padding, any
        number, as for the loss of a whole data set.
        """
        entries = jnp.asarray(x.shape[axis], jnp.float32)
        return entries if self.size is None else jnp.minimum(self.count, entries)

    def clear(self, x: jax.Array, axis: int = -1) -> jax.Array:
        """`x` with zeros where `axis`, which has this dimension, is padding."""
        mask = self.mask()
        if mask is None:
            return x
        shape = [1] * x.ndim
        shape[axis] = x.shape[axis]
        mask = mask[: x.shape[axis]].reshape(shape)
        return jnp.where(mask, x, jnp.zeros((), x.dtype))

    @property
    def twice(self) -> "Dim":
        """A dimension for two of it, one after the other: the real entries, then all padding."""
        return Dim(2 * self.padded, None if self.size is None else 2 * self.size)

    def halves(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The two [..., padded] of which `x`, [..., 2 * padded], is `twice`; zero in padding."""
        if self.size is None:
            return x[..., : self.padded], x[..., self.padded :]
        second = jax.lax.dynamic_slice_in_dim(x, self.size, self.padded, axis=-1)
        return self.clear(x[..., : self.padded]), self.clear(second)

    def sum(self, x: jax.Array, axis: int = 0) -> jax.Array:
        """The sum over the real entries of `axis`."""
        return jnp.sum(self.clear(x, axis), axis=axis)

    def mean(self, x: jax.Array, axis: int = 0) -> jax.Array:
        """The mean over the real entries of `axis`."""
        if self.size is None:
            return jnp.mean(x, axis=axis)
        return self.sum(x, axis) / self.examples(x, axis)


def padded_size(size: int, sizes: tuple[int, ...]) -> int:
    """The least of the ascending `sizes` that holds `size`. Raises `InputError` when none does."""
    for padded in sizes:
        if size <= padded:
            return padded
    raise InputError(f"size {size} is above {sizes[-1]}, the largest of the buckets {sizes}")
