"""Multiplying integers by a fraction so that it can be undone.

c n / d: the remainder of c by d goes into a buffer as a digit in base d, c // d is multiplied by n,
and a digit in base n comes out of the buffer and is added. Nothing is lost, and the buffer grows by
log2(d / n) bits (Maclaurin et al. 2015, https://arxiv.org/abs/1502.03492, section 3).

The buffer of a number is one integer, its head, and words that it spills. All numbers of a tensor
spill in the same step: a bound of their heads follows from the fractions alone, so the schedule
does not depend on the data, and nothing is ragged.

Every pass over a tensor writes one array, in its own place, and in a loop over blocks, for a
compiler that fuses passes computes them from copies.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metaopt.reversible.fixed_point import FixedPoint

NUM_BLOCKS = 8  # at most


class Buffer(NamedTuple):
    """What a tensor's multiplications would have lost."""

    head: jax.Array  # [...] unsigned
    words: jax.Array  # [at least 1, ...] unsigned, of a quarter of the bits
    pointer: jax.Array  # [] int32, words in use
    bound: jax.Array  # [] unsigned, above every head

    @classmethod
    def empty(cls, shape: tuple[int, ...], num_words: int, form: FixedPoint) -> "Buffer":
        """A buffer that `num_words` words can be spilled from."""
        return cls(
            jnp.zeros(shape, form.unsigned),
            jnp.zeros((max(num_words, 1), *shape), form.word),
            jnp.zeros((), jnp.int32),
            jnp.ones((), form.unsigned),
        )

    @property
    def is_empty(self) -> jax.Array:
        """Whether everything was undone, [] bool."""
        return (self.pointer == 0) & jnp.all(self.head == 0)

    @property
    def is_full(self) -> jax.Array:
        """Whether words were spilled that had no room, [] bool."""
        return self.pointer > len(self.words)


def num_words(decays: Sequence[float], form: FixedPoint) -> int:
    """Words that multiplications by `decays` spill."""
    bound, words = 1, 0
    for decay in decays:
        if bound > 1 << _room(form):
            bound, words = (bound >> form.word_bits) + 1, words + 1
        numerator = max(1, round(decay * 2**form.of_decays))
        bound = (bound << form.of_decays) // numerator + 1
    return words


def _room(form: FixedPoint) -> int:
    """Bits that a head holds before it spills."""
    return form.bits - form.of_decays - 1


def multiply(
    c: jax.Array, numerator: jax.Array, buffer: Buffer, form: FixedPoint
) -> tuple[jax.Array, Buffer, jax.Array]:
    """`c` times numerator / 2^of_decays, the buffer after it, and whether it spilled, [] bool."""
    k, word_bits = form.of_decays, form.word_bits
    one = jnp.ones((), form.unsigned)
    base = numerator.astype(form.unsigned)
    spilled, pointer = buffer.bound > one << _room(form), buffer.pointer
    numbers, heads, words = _blocks(c, buffer)

    def push(index: jax.Array, head: jax.Array) -> jax.Array:
        # The word is 0 in what is left, but reading it comes after it was written.
        left = (head - words[pointer, index].astype(form.unsigned)) >> word_bits
        low = (numbers[index] & jnp.asarray(2**k - 1, form.signed)).astype(form.unsigned)
        return (jnp.where(spilled, left, head) << k) | low

    def scale(index: jax.Array, number: jax.Array) -> jax.Array:
        return (number >> k) * numerator + (heads[index] % base).astype(form.signed)

    # Written in any case: a choice would copy all the words.
    spill = lambda index, word: jnp.where(spilled, heads[index].astype(form.word), word)
    words = _in_place(spill, words, pointer)
    heads = _in_place(push, heads)
    numbers = _in_place(scale, numbers)
    heads = _in_place(lambda _, head: head // base, heads)
    bound = jnp.where(spilled, (buffer.bound >> word_bits) + one, buffer.bound)
    after = Buffer(
        heads.reshape(c.shape),
        words.reshape(buffer.words.shape),
        pointer + spilled.astype(jnp.int32),
        (bound << k) // base + one,
    )
    return numbers.reshape(c.shape), after, spilled


def divide(
    c: jax.Array, numerator: jax.Array, buffer: Buffer, spilled: jax.Array, form: FixedPoint
) -> tuple[jax.Array, Buffer]:
    """Undoes the `multiply` that returned these; its bound is of no more use."""
    k, word_bits = form.of_decays, form.word_bits
    base = numerator.astype(form.unsigned)
    pointer = buffer.pointer - spilled.astype(jnp.int32)
    numbers, heads, words = _blocks(c, buffer)

    def push(index: jax.Array, head: jax.Array) -> jax.Array:
        return head * base + jnp.mod(numbers[index], numerator).astype(form.unsigned)

    def scale(index: jax.Array, number: jax.Array) -> jax.Array:
        low = heads[index] & jnp.asarray(2**k - 1, form.unsigned)
        return (number // numerator << k) | low.astype(form.signed)

    def pop(index: jax.Array, head: jax.Array) -> jax.Array:
        whole = (head >> k << word_bits) | words[pointer, index].astype(form.unsigned)
        return jnp.where(spilled, whole, head >> k)

    heads = _in_place(push, heads)
    numbers = _in_place(scale, numbers)
    # A zero that only the numbers tell: the compiler, which may not change heads in place as long
    # as they are to be read, would keep two of them otherwise.
    pointer = pointer + jnp.clip(numbers[0, 0], 0, 0).astype(jnp.int32)
    heads = _in_place(pop, heads)
    after = buffer._replace(head=heads.reshape(c.shape), pointer=pointer)
    return numbers.reshape(c.shape), after


def _blocks(c: jax.Array, buffer: Buffer) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Numbers and heads, [num_blocks, block size], and words, [num_words, ...]."""
    num_blocks = max(n for n in range(1, NUM_BLOCKS + 1) if c.size % n == 0)
    shape = num_blocks, c.size // num_blocks
    return c.reshape(shape), buffer.head.reshape(shape), buffer.words.reshape(-1, *shape)


def _in_place(
    update: Callable[[jax.Array, jax.Array], jax.Array], blocks: jax.Array, *row: jax.Array
) -> jax.Array:
    """`blocks`, or those of `row`, after `update(index, block)` of each."""

    def replace(index: jax.Array, blocks: jax.Array) -> jax.Array:
        return blocks.at[*row, index].set(update(index, blocks[*row, index]))

    return jax.lax.fori_loop(0, blocks.shape[len(row)], replace, blocks)
