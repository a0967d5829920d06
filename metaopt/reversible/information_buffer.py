"""Multiplying integers by a fraction so that it can be undone.

c n / d: the remainder of c by d goes into a buffer as a digit in base d, c // d is multiplied by n,
and a digit in base n comes out of the buffer and is added. Nothing is lost, and the buffer grows by
log2(d / n) bits (Maclaurin et al. 2015, https://arxiv.org/abs/1502.03492, section 3).

The buffer of a number is one integer, its head, and words that it spills. All numbers of a tensor
spill in the same step: a bound of their heads follows from the fractions alone, so the schedule
does not depend on the data, and nothing is ragged.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metaopt.reversible.fixed_point import FixedPoint


class Buffer(NamedTuple):
    """What a tensor's multiplications would have lost."""

    head: jax.Array  # [...] unsigned
    words: jax.Array  # [num_words + 1, ...] unsigned, of half the bits; the last row is scratch
    pointer: jax.Array  # [] int32, words in use
    bound: jax.Array  # [] unsigned, above every head

    @classmethod
    def empty(cls, shape: tuple[int, ...], num_words: int, form: FixedPoint) -> "Buffer":
        """A buffer that `num_words` words can be spilled from."""
        return cls(
            jnp.zeros(shape, form.unsigned),
            jnp.zeros((num_words + 1, *shape), form.word),
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
        return self.pointer >= len(self.words)


def num_words(decays: Sequence[float], form: FixedPoint) -> int:
    """Words that multiplications by `decays` spill at most."""
    unit, word_bits = 2.0**-form.of_decays, form.bits // 2
    bits = sum(-math.log2(max(unit, math.floor(decay / unit) * unit)) for decay in decays)
    # A bound that was just spilled is rounded up by one in so many, and one in ever more after it.
    bits += len(decays) * 2.0 ** -(word_bits - form.of_decays - 1) / math.log(2)
    return max(0, math.ceil((bits + math.log2(len(decays) + 1) - _room(form)) / word_bits)) + 1


def _room(form: FixedPoint) -> int:
    """Bits that a head holds before it spills."""
    return form.bits - form.of_decays - 1


def multiply(
    c: jax.Array, numerator: jax.Array, buffer: Buffer, form: FixedPoint
) -> tuple[jax.Array, Buffer, jax.Array]:
    """`c` times numerator / 2^of_decays, the buffer after it, and whether it spilled, [] bool."""
    k, word_bits = form.of_decays, form.bits // 2
    one = jnp.ones((), form.unsigned)
    head, words, pointer, bound = buffer

    spilled = bound > one << _room(form)
    # Written in any case: a choice would copy all the words.
    words = words.at[pointer].set(head.astype(form.word))
    head = jnp.where(spilled, head >> word_bits, head)
    bound = jnp.where(spilled, (bound >> word_bits) + one, bound)

    mask = jnp.asarray(2**k - 1, form.signed)
    head = (head << k) | (c & mask).astype(form.unsigned)
    bound = bound << k
    base = numerator.astype(form.unsigned)
    digit = (head % base).astype(form.signed)
    after = Buffer(head // base, words, pointer + spilled.astype(jnp.int32), bound // base + one)
    return (c >> k) * numerator + digit, after, spilled


def divide(
    c: jax.Array, numerator: jax.Array, buffer: Buffer, spilled: jax.Array, form: FixedPoint
) -> tuple[jax.Array, Buffer]:
    """Undoes the `multiply` that returned these; its bound is of no more use."""
    k, word_bits = form.of_decays, form.bits // 2
    quotient = c // numerator
    digit = (c - quotient * numerator).astype(form.unsigned)
    head = buffer.head * numerator.astype(form.unsigned) + digit
    low = (head & jnp.asarray(2**k - 1, form.unsigned)).astype(form.signed)
    head = head >> k

    pointer = buffer.pointer - spilled.astype(jnp.int32)
    word = buffer.words[pointer].astype(form.unsigned)
    head = jnp.where(spilled, (head << word_bits) | word, head)
    return (quotient << k) | low, Buffer(head, buffer.words, pointer, buffer.bound)
