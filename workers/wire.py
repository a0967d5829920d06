"""Messages between the learner and its workers: one float32 vector, and what says how to read it.

One array goes out of a `workers.channel` and into it with a single copy, a hundred small ones do
not. Arrays are numpy's on the way: a `jax.Array` would arrive on whichever device the receiver has
first.
"""

import dataclasses
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np

# vector  the gradient
# seeds   what the learner makes it from again, see `workers.seeds`
Wire: TypeAlias = Literal["vector", "seeds"]


@dataclasses.dataclass(frozen=True)
class Slot:
    """Stands in a layout where an array was."""

    shape: tuple[int, ...]


class Packed(NamedTuple):
    """A message, ready to be sent."""

    vector: np.ndarray  # [total size] float32, all arrays one after another
    layout: Any  # the message itself, with a `Slot` for each array


def pack(message: Any) -> Packed:
    """Packs a pytree whose leaves are float32 arrays and plain Python values.

    Raises `TypeError` for an array of any other dtype, which would not come back as it was.
    """
    leaves, structure = jax.tree.flatten(message)
    arrays = [np.asarray(leaf) for leaf in leaves if _is_array(leaf)]
    for array in arrays:
        if array.dtype != np.float32:
            raise TypeError(f"an array to send is {array.dtype}; it has to be float32")
    slots = [Slot(leaf.shape) if _is_array(leaf) else leaf for leaf in leaves]
    flat = [np.zeros(0, np.float32), *(array.ravel() for array in arrays)]
    return Packed(np.concatenate(flat), jax.tree.unflatten(structure, slots))


def unpack(packed: Packed) -> Any:
    """The message; its arrays are numpy's, and views of the vector of `packed`.

    Raises `ValueError` when `packed` is no message, or its vector is not as long as its layout.
    """
    if not isinstance(packed, Packed):
        raise ValueError(f"a {type(packed).__name__} is no message")
    leaves, structure = jax.tree.flatten(packed.layout)
    needed = sum(int(np.prod(leaf.shape)) for leaf in leaves if isinstance(leaf, Slot))
    if packed.vector.shape != (needed,):
        raise ValueError(f"a message of {packed.vector.size} numbers lays out {needed}")
    start = 0
    for position, leaf in enumerate(leaves):
        if isinstance(leaf, Slot):
            end = start + int(np.prod(leaf.shape))
            leaves[position] = packed.vector[start:end].reshape(leaf.shape)
            start = end
    return jax.tree.unflatten(structure, leaves)


def shapes(tree: Any) -> tuple[Any, tuple[tuple[int, ...], ...]]:
    """The structure of a pytree of arrays, and the shape of each."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, tuple(np.shape(leaf) for leaf in leaves)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)
