"""What the problems have in common: parameters of known dimensions, with a normal start."""

import abc
import math
import zlib
from typing import Any

import jax
import numpy as np

from taskset.base import Key, Params
from taskset.configured import ConfiguredTask
from taskset.networks.dims import Dim
from taskset.networks.initializers import draw_uniform

Dims = Any  # a pytree like the parameters, with a tuple of `Dim` in place of each array


class Problem(ConfiguredTask):
    """A task that says what the dimensions of its parameters are."""

    @property
    @abc.abstractmethod
    def dims(self) -> Dims:
        """The dimensions of each array of the parameters."""

    def init(self, key: Key) -> Params:
        """Standard normal numbers."""
        return normal(key, self.dims)


def normal(key: Key, dims: Dims) -> Params:
    """Standard normal numbers of these dimensions, float32, zero in the padding."""
    return jax.tree.map(lambda x: math.sqrt(2) * jax.lax.erf_inv(x), uniform(key, dims))


def uniform(key: Key, dims: Dims) -> Params:
    """Uniform numbers in (-1, 1) of these dimensions, float32, zero in the padding.

    Those of a row depend on where its array is in the tree, and not on what else there is.
    """
    leaves, tree = jax.tree.flatten_with_path(dims, is_leaf=lambda x: isinstance(x, tuple))
    shapes = [tuple(dim.padded for dim in leaf) for _, leaf in leaves]
    # All rows of all arrays at once, as wide as the widest: far less to compile.
    places = [
        zlib.crc32(f"{jax.tree_util.keystr(path)}{index}".encode())
        for (path, _), shape in zip(leaves, shapes, strict=True)
        for index in np.ndindex(shape[:-1])
    ]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, np.asarray(places, np.uint32))
    width = max(shape[-1] for shape in shapes)
    rows = jax.vmap(lambda key: draw_uniform(key, (width,)))(keys)
    arrays, first = [], 0
    for shape, (_, leaf) in zip(shapes, leaves, strict=True):
        end = first + math.prod(shape[:-1])
        arrays.append(clear(rows[first:end, : shape[-1]].reshape(shape), leaf))
        first = end
    return tree.unflatten(arrays)


def clear(x: jax.Array, dims: tuple[Dim, ...]) -> jax.Array:
    """`x`, which has these dimensions, with zeros in the padding."""
    for axis, dim in enumerate(dims):
        x = dim.clear(x, axis)
    return x
