"""Inner training of any kind in integers, run backwards with a tape of what cannot be foretold.

A step adds integers to the state, x' = x + d(x), and going back is to solve that for x: by a few
iterations of x <- x' - d(x), which converge where steps are small (the general scheme of Maclaurin
et al. 2015, https://arxiv.org/abs/1502.03492). The tape has the difference between their result and
x, coded by its entropy: nothing to speak of where they converge, and never more than x itself.

Forwards and back the iterations have to give the same bits, so steps are taken between barriers
that the compiler does not fuse across.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.inner_problem import FamilyTraining, InnerState
from metaopt.learned_optimizers.base import MetaParams
from metaopt.real_leaves import real_leaves, with_real_leaves
from metaopt.reversible import entropy_coder
from metaopt.reversible.fixed_point import FORMATS
from taskset.base import Dataset, Key

INT32 = FORMATS["int32"]


class Tape(NamedTuple):
    """The codes of all blocks of steps, one behind the other."""

    words: jax.Array  # [room] uint32
    begins: jax.Array  # [num_blocks] int32, where the code of each block begins
    used: jax.Array  # [] int32, words that there are; what has no room is lost


class Cotangents(NamedTuple):
    """The derivatives of the outer loss by what a step takes."""

    meta_params: MetaParams
    reals: list[jax.Array]  # of the state


@dataclasses.dataclass(frozen=True)
class TapedTraining:
    """The steps of one run. The state is one vector of integers, [size] int32, but for its task."""

    problem: FamilyTraining
    meta_params: MetaParams
    data: Dataset
    like: InnerState  # of the task, and of the shapes and dtypes of all else
    keys: Key  # of the steps, [num_blocks, block]
    fraction: int  # bits of real numbers behind the point
    predictions: int  # iterations
    room: float  # bits for each number of the state and step

    def encode(self, state: InnerState) -> jax.Array:
        """The state as integers, [size] int32."""
        return self._vector([self._integers(x) for x in jax.tree.leaves(moving(state))])

    def decode(self, vector: jax.Array) -> InnerState:
        """The state that `vector` stands for."""
        leaves, structure = jax.tree.flatten(moving(self.like))
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        parts = zip(jnp.split(vector, ends), leaves, strict=True)
        numbers = [self._numbers(part.reshape(like.shape), like) for part, like in parts]
        return structure.unflatten(numbers)._replace(task=self.like.task)

    def forwards(self, start: jax.Array) -> tuple[jax.Array, Tape, jax.Array]:
        """The end of the run, [size] int32, its tape, and whether all numbers fitted, [] bool."""

        def step(carry: tuple[jax.Array, jax.Array], key: Key):
            vector, fits = carry
            moves, fitted = self._moves(vector, key)
            after = vector + moves
            return (after, fits & fitted), vector - self._predicted(after, key)

        def block(carry: tuple[jax.Array, ...], keys: Key):
            vector, fits, words, used = carry
            (vector, fits), residuals = jax.lax.scan(step, (vector, fits), keys)
            code, num_words = self._code(residuals)
            words = jax.lax.dynamic_update_slice(words, code, (used,))
            return (vector, fits, words, used + num_words), used

        begun = start, jnp.ones((), bool), self._no_words(), jnp.zeros((), jnp.int32)
        (end, fits, words, used), begins = jax.lax.scan(block, begun, self.keys)
        return end, Tape(words, begins, used), fits & (used <= self._num_words)

    def backwards(
        self, end: jax.Array, tape: Tape, cotangents: Cotangents
    ) -> tuple[jax.Array, Cotangents]:
        """What going back leads to, [size] int32, and `cotangents` of the end as of the start."""

        def step(carry: tuple[jax.Array, Cotangents], inputs: tuple[Key, jax.Array]):
            after, cotangents = carry
            key, residual = inputs
            vector = self._predicted(after, key) + residual
            return (vector, self._pull(vector, key, cotangents)), None

        def block(carry: tuple[jax.Array, Cotangents], inputs: tuple[Key, jax.Array]):
            keys, begin = inputs
            code = jax.lax.dynamic_slice(tape.words, (begin,), (self._most_words,))
            inputs = keys, self._residuals(code, whole)
            return jax.lax.scan(step, carry, inputs, reverse=True)[0], None

        whole = tape.used <= self._num_words
        inputs = self.keys, tape.begins
        return jax.lax.scan(block, (end, cotangents), inputs, reverse=True)[0]

    @property
    def num_numbers(self) -> int:
        """Numbers that the run goes through, of all its steps."""
        return self._size * self.keys.size

    def _moves(self, vector: jax.Array, key: Key) -> tuple[jax.Array, jax.Array]:
        """What the step of `key` adds to `vector`, and whether what it leads to fits, [] bool."""
        before = self.decode(jax.lax.optimization_barrier(vector))
        after = self.problem.advance(self.meta_params, before, self.data, key)
        old, new = (jax.tree.leaves(moving(state)) for state in (before, after))
        moves = [self._integers(y - x) for x, y in zip(old, new, strict=True)]
        limit = INT32.limit * 2.0**-self.fraction
        fits = [jnp.all(jnp.abs(x) < limit) for x in real_leaves(moving(after))]
        return jax.lax.optimization_barrier((self._vector(moves), jnp.all(jnp.stack(fits))))

    def _predicted(self, after: jax.Array, key: Key) -> jax.Array:
        """The vector before the step of `key`, as far as the one after it tells, [size] int32."""
        back = lambda _, vector: after - self._moves(vector, key)[0]
        return jax.lax.fori_loop(0, self.predictions, back, after)

    def _pull(self, vector: jax.Array, key: Key, cotangents: Cotangents) -> Cotangents:
        """The cotangents before the step of `key`, which begins at `vector`."""
        state = self.decode(jax.lax.optimization_barrier(vector))

        def advance(meta_params: MetaParams, reals: list[jax.Array]) -> list[jax.Array]:
            before = with_real_leaves(moving(state), reals)._replace(task=state.task)
            after = self.problem.advance(meta_params, before, self.data, key)
            return real_leaves(moving(after))

        _, pull = jax.vjp(advance, self.meta_params, real_leaves(moving(state)))
        of_meta_params, of_reals = pull(cotangents.reals)
        added = jax.tree.map(jnp.add, cotangents.meta_params, of_meta_params)
        return Cotangents(added, of_reals)

    def _code(self, residuals: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The code of a block, [most words] uint32, and how many of them count, [] int32."""

        def encode(residuals: jax.Array) -> tuple[np.ndarray, np.ndarray]:
            code = entropy_coder.encode(np.asarray(residuals).reshape(-1))
            padded = np.zeros(self._most_words, np.uint32)
            padded[: len(code)] = code
            return padded, np.asarray(len(code), np.int32)

        like = jax.ShapeDtypeStruct((self._most_words,), jnp.uint32)
        count = jax.ShapeDtypeStruct((), jnp.int32)
        return jax.pure_callback(encode, (like, count), residuals, vmap_method="sequential")

    def _residuals(self, code: jax.Array, whole: jax.Array) -> jax.Array:
        """The residuals, [block, size] int32, of a `code`; zeros unless the tape is `whole`."""
        shape = self.keys.shape[1], self._size

        def decode(code: jax.Array, whole: jax.Array) -> np.ndarray:
            if not whole:  # what is read in its place may be no code at all
                return np.zeros(shape, np.int32)
            return entropy_coder.decode(np.asarray(code), shape[0] * shape[1]).reshape(shape)

        like = jax.ShapeDtypeStruct(shape, jnp.int32)
        return jax.pure_callback(decode, like, code, whole, vmap_method="sequential")

    def _no_words(self) -> jax.Array:
        """A tape without a code; every code is written whole, with what does not count of it."""
        return jnp.zeros(self._num_words + self._most_words, jnp.uint32)

    @property
    def _num_words(self) -> int:
        fixed = len(self.keys) * entropy_coder.FIXED_WORDS
        return int(self.room * self.num_numbers / 32) + fixed

    @property
    def _most_words(self) -> int:
        return entropy_coder.most_words(self.keys.shape[1] * self._size)

    @property
    def _size(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(moving(self.like)))

    def _integers(self, x: jax.Array) -> jax.Array:
        if jnp.issubdtype(x.dtype, jnp.inexact):
            return INT32.encode(x, self.fraction)
        return x.astype(jnp.int32)

    def _numbers(self, x: jax.Array, like: Any) -> jax.Array:
        if jnp.issubdtype(like.dtype, jnp.inexact):
            return INT32.decode(x, self.fraction, like.dtype)
        return x.astype(like.dtype)

    def _vector(self, leaves: list[jax.Array]) -> jax.Array:
        return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])


def moving(state: InnerState) -> InnerState:
    """What steps change of a state: all but the task."""
    return state._replace(task=None)  # pyright: ignore[reportArgumentType]
