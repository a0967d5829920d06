"""Endless random sequences that a network has to remember: associations, and copies.

A batch is {"tokens": [B, T] int32, "target": [B, T] int32, "mask": [B, T] float32}: what is read,
what is to be said after it, and where that counts. All splits are drawn alike.
"""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Dataset, Key, Split
from taskset.errors import InputError

WHOLE_SEQUENCES = 1024


@dataclasses.dataclass(frozen=True)
class _Sequences(Dataset):
    """A data set without arrays: its static fields are all there is."""

    def load(self) -> Dataset:
        """Itself: nothing is read."""
        return self

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        del split
        # A key for each row: then a row does not depend on how many there are.
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(batch_size))
        return jax.vmap(self.draw)(keys)

    def whole(self, split: Split) -> Batch:
        """The same `WHOLE_SEQUENCES` sequences at each call."""
        return self.sample(split, jax.random.key(0), WHOLE_SEQUENCES)

    def draw(self, key: Key) -> Batch:
        """One sequence: leaves [T]."""
        raise NotImplementedError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Associations(_Sequences):
    """Pairs of a key and its value, a sign, and one of the keys: to say is its value.

    Keys are distinct. The sign is token `num_tokens + 1`; `num_tokens` is the target of no use in
    the steps that do not count. Raises `InputError` when there are fewer tokens than pairs.
    """

    num_pairs: int = dataclasses.field(metadata={"static": True})
    num_tokens: int = dataclasses.field(metadata={"static": True})

    def __post_init__(self) -> None:
        if not 1 <= self.num_pairs <= self.num_tokens:
            raise InputError(
                f"associations: num_pairs is {self.num_pairs}; it must be from 1 to num_tokens, "
                f"which is {self.num_tokens}"
            )

    @property
    def vocab_size(self) -> int:
        """The number of different tokens."""
        return self.num_tokens + 2

    def draw(self, key: Key) -> Batch:
        key_keys, key_values, key_asked = jax.random.split(key, 3)
        keys = jax.random.permutation(key_keys, self.num_tokens)[: self.num_pairs]
        values = jax.random.randint(key_values, (self.num_pairs,), 0, self.num_tokens)
        asked = jax.random.randint(key_asked, (), 0, self.num_pairs)
        pairs = jnp.stack([keys, values], axis=1).reshape(-1)
        tokens = jnp.append(pairs, jnp.stack([jnp.int32(self.num_tokens + 1), keys[asked]]))
        mask = jnp.zeros(tokens.shape).at[-1].set(1.0)
        target = jnp.full_like(tokens, self.num_tokens).at[-1].set(values[asked])
        return {"tokens": tokens, "target": target, "mask": mask}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Copies(_Sequences):
    """Random tokens, a separator, and as many signs: to say after each sign is the next token.

    The separator is token `num_tokens`, the sign `num_tokens + 1`. Raises `InputError` for a size
    below 1.
    """

    length: int = dataclasses.field(metadata={"static": True})
    num_tokens: int = dataclasses.field(metadata={"static": True})

    def __post_init__(self) -> None:
        if min(self.length, self.num_tokens) < 1:
            raise InputError(
                f"copies: length is {self.length}, num_tokens is {self.num_tokens}; both must be "
                "at least 1"
            )

    @property
    def vocab_size(self) -> int:
        """The number of different tokens."""
        return self.num_tokens + 2

    def draw(self, key: Key) -> Batch:
        read = jax.random.randint(key, (self.length,), 0, self.num_tokens)
        signs = jnp.full_like(read, self.num_tokens + 1)
        separator = jnp.full((1,), self.num_tokens, read.dtype)
        before = jnp.zeros((self.length + 1,), read.dtype)
        return {
            "tokens": jnp.concatenate([read, separator, signs]),
            "target": jnp.concatenate([before, read]),
            "mask": (jnp.arange(2 * self.length + 1) > self.length).astype(jnp.float32),
        }
