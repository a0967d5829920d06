"""Inner training in fixed point: forwards, and back to the bit.

Forwards and back are two programs, and both have to compute the same gradient to the bit. So both
take it between barriers, which the compiler does not fuse across; and the step that is
differentiated has a gradient of its own, for one that is shared is compiled with its derivative.

Where integers have 64 bits, what is here runs under `jax.enable_x64`, and what the user wrote as
the user has it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from metaopt.dynamics import Averages, by_tensor
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.learned_optimizers.base import MetaParams
from metaopt.reversible import information_buffer
from metaopt.reversible.fixed_point import FixedPoint
from metaopt.reversible.information_buffer import Buffer
from taskset.base import Dataset, Key, Params, Task
from taskset.errors import InputError


class Reals(NamedTuple):
    """What a step takes and returns, in floating point."""

    params: Params
    averages: tuple[Any, ...]


class Exact(NamedTuple):
    """The same as integers, and what it takes to go back; one entry a tensor."""

    params: list[jax.Array]
    averages: list[jax.Array]  # those of the first average, then those of the second
    buffers: list[Buffer]  # of the averages
    fits: jax.Array  # [] bool, whether no number ever was too large


def reversible_dynamics(problem: HyperparameterTraining, meta_params: MetaParams) -> Averages:
    """The dynamics of `problem`; raises `InputError` where its steps cannot be undone."""
    dynamics = problem.dynamics(meta_params)
    if not isinstance(dynamics, Averages):
        raise InputError(
            f"{type(dynamics).__name__} cannot be run backwards; use Momentum or Adam of "
            "metaopt.dynamics, or FullBackprop"
        )
    return dynamics


class Kept(NamedTuple):
    """What a checkpoint holds: all of a state but the words, which going back does not change."""

    params: list[jax.Array]
    averages: list[jax.Array]
    heads: list[jax.Array]
    pointers: list[jax.Array]

    @classmethod
    def of(cls, exact: Exact) -> "Kept":
        """The checkpoint of `exact`."""
        heads, pointers = (
            [getattr(b, name) for b in exact.buffers] for name in ("head", "pointer")
        )
        return cls(exact.params, exact.averages, heads, pointers)

    def restore(self, exact: Exact) -> Exact:
        """`exact` with what was kept."""
        buffers = [
            buffer._replace(head=head, pointer=pointer)
            for buffer, head, pointer in zip(exact.buffers, self.heads, self.pointers, strict=True)
        ]
        return exact._replace(params=self.params, averages=self.averages, buffers=buffers)


class Faults(NamedTuple):
    """Where going back did not lead to what was kept."""

    segments: jax.Array  # [] int32
    drift: jax.Array  # [] float32, the most that a parameter was off

    @classmethod
    def none(cls) -> "Faults":
        """As long as there are none."""
        return cls(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32))


@dataclasses.dataclass(frozen=True)
class ReversibleTraining:
    """The steps of one run, in segments of `segment` whose starts are kept."""

    problem: HyperparameterTraining
    meta_params: MetaParams
    data: Dataset
    task: Task
    like: Params  # of the shapes and dtypes of the parameters
    keys: Key  # of the steps, [num_steps]
    form: FixedPoint
    least_decay: float  # of those that are only known when the program runs
    x64: bool  # whether the user has 64-bit numbers
    segment: int = 0  # steps between two checkpoints; 0: there are none

    def dynamics(self, meta_params: MetaParams) -> Averages:
        """The dynamics, with decays that can be undone."""
        return reversible_dynamics(self.problem, meta_params).map_decays(self.form.round_decay)

    def averaged(
        self, meta_params: MetaParams, reals: Reals, step: jax.Array, key: Key
    ) -> tuple[Any, ...]:
        """The averages of `step`, in floating point: what is differentiated."""
        gradients = self._gradient(meta_params, reals.params, key)
        return self.dynamics(meta_params).after(gradients, reals.averages, step, reals.params)

    def move(self, meta_params: MetaParams, averages: tuple[Any, ...], step: jax.Array) -> Params:
        """What the averages of `step` add to the parameters, likewise."""
        return self.dynamics(meta_params).direction(averages, step, self.like)

    def encode(self, start: Reals) -> Exact:
        """The start of the run as integers."""
        averages = self._encode_averages(start.averages)
        sizes = zip(averages, self._num_words(), strict=True)
        buffers = [Buffer.empty(x.shape, num_words, self.form) for x, num_words in sizes]
        return Exact(self._encode_params(start.params), averages, buffers, jnp.ones((), bool))

    def decode(self, exact: Exact) -> Reals:
        """What the integers stand for."""
        return Reals(self._decode_params(exact), self._decode_averages(exact))

    def forwards(self, start: Exact) -> tuple[Exact, tuple[list[jax.Array], Kept | None]]:
        """The end of the run, and by segment, what it takes to go back.

        That is when each average spilled words, [num_segments, segment] bool each, and checkpoints.
        """

        def advance(exact: Exact, inputs: tuple[jax.Array, Key]) -> tuple[Exact, list[jax.Array]]:
            step, key = inputs
            entries = zip(exact.averages, self._numerators(step), exact.buffers, strict=True)
            products = [information_buffer.multiply(*entry, self.form) for entry in entries]
            added = self._contributions(exact, step, key)
            averages = [c + x for (c, _, _), x in zip(products, added, strict=True)]
            exact = exact._replace(averages=averages, buffers=[buffer for _, buffer, _ in products])
            moves = self._moves(exact, step)
            params = [x + move for x, move in zip(exact.params, moves, strict=True)]
            fit = [self.form.fits(x) for x in params + averages]
            exact = exact._replace(params=params, fits=exact.fits & jnp.all(jnp.stack(fit)))
            return exact, [spilled for _, _, spilled in products]

        def advance_segment(exact: Exact, inputs: tuple[jax.Array, Key]):
            end, spilled = jax.lax.scan(advance, exact, inputs)
            return end, (spilled, Kept.of(exact) if self.segment else None)

        end, back = jax.lax.scan(advance_segment, start, self._segments)
        full = jnp.any(jnp.stack([buffer.is_full for buffer in end.buffers]))
        return end._replace(fits=end.fits & ~full), back

    def backwards(
        self,
        end: Exact,
        back: tuple[list[jax.Array], Kept | None],
        cotangents: tuple[MetaParams, Reals],
    ) -> tuple[Exact, tuple[MetaParams, Reals], Faults]:
        """The start as it is reached from `end`, the cotangents there, and faults on the way.

        `cotangents` are of the meta-parameters, and of the parameters and averages of the end. At
        the start of each segment, what was kept takes the place of what was reached.
        """

        def retreat(carry: tuple[Exact, tuple[MetaParams, Reals]], inputs: tuple[Any, ...]):
            exact, (of_meta_params, of_reals) = carry
            step, key, spilled = inputs
            before = self._undo(exact, step, key, spilled)
            reals = jax.lax.optimization_barrier(self.decode(before))
            with jax.enable_x64(self.x64):
                average = lambda meta_params, reals: self.averaged(meta_params, reals, step, key)
                _, pull = jax.vjp(average, self.meta_params, reals)
                more, of_before = pull(of_reals.averages)
                of_meta_params = jax.tree.map(jnp.add, of_meta_params, more)
                of_params = jax.tree.map(jnp.add, of_reals.params, of_before.params)
                cotangents = of_meta_params, Reals(of_params, of_before.averages)
                # At step 0 there is no move before.
                cotangents = self._pull_move(cotangents, reals.averages, step - 1, step > 0)
            return (before, cotangents), None

        def retreat_segment(carry: tuple[Any, Faults], inputs: tuple[Any, ...]):
            state, faults = carry
            steps, keys, (spilled, kept) = inputs
            state, _ = jax.lax.scan(retreat, state, (steps, keys, spilled), reverse=True)
            if kept is not None:
                exact, of_exact = state
                faults = self._compare(exact, kept, faults)
                state = kept.restore(exact), of_exact
            return (state, faults), None

        averages = self._decode_averages(end)
        with jax.enable_x64(self.x64):
            last = jnp.asarray(len(self.keys) - 1, jnp.int32)
            cotangents = self._pull_move(cotangents, averages, last, jnp.ones((), bool))
        carry = (end, cotangents), Faults.none()
        inputs = (*self._segments, back)
        ((reached, cotangents), faults), _ = jax.lax.scan(
            retreat_segment, carry, inputs, reverse=True
        )
        return reached, cotangents, faults

    def _pull_move(
        self,
        cotangents: tuple[MetaParams, Reals],
        averages: tuple[Any, ...],
        step: jax.Array,
        moved: jax.Array,
    ) -> tuple[MetaParams, Reals]:
        """Cotangents of the averages of `step` from those after they moved the parameters.

        They are what the way back carries: those of the parameters are added to before they are
        read here, so that they need not be kept twice.
        """
        of_meta_params, of_reals = cotangents
        move = lambda meta_params, averages: self.move(meta_params, averages, jnp.maximum(step, 0))
        _, pull = jax.vjp(move, self.meta_params, averages)
        of_move = jax.tree.map(lambda x: jnp.where(moved, x, 0), of_reals.params)
        added = jax.tree.map(jnp.add, (of_meta_params, of_reals.averages), pull(of_move))
        return added[0], Reals(of_reals.params, added[1])

    def is_start(self, reached: Exact, start: Reals) -> jax.Array:
        """Whether going back led to `start`, to the bit: [] bool."""
        expected = self._encode_params(start.params) + self._encode_averages(start.averages)
        pairs = zip(reached.params + reached.averages, expected, strict=True)
        same = [jnp.all(x == y) for x, y in pairs]
        return jnp.all(jnp.stack(same + [buffer.is_empty for buffer in reached.buffers]))

    @property
    def _segments(self) -> tuple[jax.Array, Key]:
        """The steps and their keys, [num_segments, segment]."""
        shape = (-1, self.segment or len(self.keys))
        return jnp.arange(len(self.keys), dtype=jnp.int32).reshape(shape), self.keys.reshape(shape)

    def _compare(self, reached: Exact, kept: Kept, faults: Faults) -> Faults:
        pairs = zip(*(jax.tree.leaves(tree) for tree in (Kept.of(reached), kept)), strict=True)
        same = jnp.all(jnp.stack([jnp.all(x == y) for x, y in pairs]))
        off = [jnp.max(jnp.abs(x - y)) for x, y in zip(reached.params, kept.params, strict=True)]
        drift = self.form.decode(jnp.max(jnp.stack(off)), self.form.of_params, jnp.dtype("float32"))
        return Faults(faults.segments + (~same).astype(jnp.int32), jnp.maximum(faults.drift, drift))

    def _undo(self, exact: Exact, step: jax.Array, key: Key, spilled: list[jax.Array]) -> Exact:
        """The state before `step`."""
        moves = self._moves(exact, step)
        params = [x - move for x, move in zip(exact.params, moves, strict=True)]
        exact = exact._replace(params=params)
        added = self._contributions(exact, step, key)
        products = [c - x for c, x in zip(exact.averages, added, strict=True)]
        entries = zip(products, self._numerators(step), exact.buffers, spilled, strict=True)
        undone = [information_buffer.divide(*entry, self.form) for entry in entries]
        averages, buffers = ([entry[i] for entry in undone] for i in range(2))
        return exact._replace(averages=averages, buffers=buffers)

    def _gradient(self, meta_params: MetaParams, params: Params, key: Key) -> Params:
        def loss(params: Params) -> jax.Array:
            return self.problem.inner_loss(meta_params, self.task, params, self.data, key)

        return jax.grad(loss)(params)

    def _contributions(self, exact: Exact, step: jax.Array, key: Key) -> list[jax.Array]:
        """What the gradient at the parameters adds to the averages."""
        params = jax.lax.optimization_barrier(self._decode_params(exact))
        with jax.enable_x64(self.x64):
            gradient = self._gradient(self.meta_params, params, key)
            gradient = jax.lax.optimization_barrier(gradient)
            added = self.dynamics(self.meta_params).contributions(gradient, step, self.like)
        return self._encode_averages(jax.lax.optimization_barrier(added))

    def _moves(self, exact: Exact, step: jax.Array) -> list[jax.Array]:
        """What the averages after a step add to the parameters."""
        averages = jax.lax.optimization_barrier(self._decode_averages(exact))
        with jax.enable_x64(self.x64):
            moves = self.dynamics(self.meta_params).direction(averages, step, self.like)
        return self._encode_params(jax.lax.optimization_barrier(moves))

    def _numerators(self, step: jax.Array) -> list[jax.Array]:
        """The decay of each average times 2^of_decays, [] each."""
        with jax.enable_x64(self.x64):
            decays = self.dynamics(self.meta_params).decays(step, self.like)
        scale = 2.0**self.form.of_decays
        return [jnp.round(x * scale).astype(self.form.signed) for x in jax.tree.leaves(decays)]

    def _num_words(self) -> list[int]:
        """Words that each average has to have room for."""
        schedules = reversible_dynamics(self.problem, self.meta_params).decay_schedules
        decays = [by_tensor(schedule, self.like) for schedule in schedules]
        of_steps = [self._known(decay) for decay in jax.tree.leaves(decays)]
        return [information_buffer.num_words(decays, self.form) for decays in of_steps]

    def _known(self, decay: Any) -> Sequence[float]:
        """The decay of each step, or the least."""
        num_steps = len(self.keys)
        if isinstance(decay, Tracer):
            return [self.least_decay] * num_steps
        decays = np.asarray(decay, np.float64)
        self.form.check_decays(decays)
        of_steps = np.atleast_1d(decays)[:num_steps]
        return [*of_steps, *[of_steps[-1]] * (num_steps - len(of_steps))]

    def _encode_params(self, params: Params) -> list[jax.Array]:
        return [self.form.encode(x, self.form.of_params) for x in jax.tree.leaves(params)]

    def _encode_averages(self, averages: tuple[Any, ...]) -> list[jax.Array]:
        pairs = zip(averages, self.form.of_averages, strict=False)
        return [self.form.encode(x, f) for tree, f in pairs for x in jax.tree.leaves(tree)]

    def _decode_params(self, exact: Exact) -> Params:
        return self._decode(exact.params, self.form.of_params)

    def _decode_averages(self, exact: Exact) -> tuple[Any, ...]:
        each = len(exact.params)
        parts = [exact.averages[i : i + each] for i in range(0, len(exact.averages), each)]
        pairs = zip(parts, self.form.of_averages, strict=False)
        return tuple(self._decode(part, fraction) for part, fraction in pairs)

    def _decode(self, integers: list[jax.Array], fraction: int) -> Any:
        leaves, structure = jax.tree.flatten(self.like)
        pairs = zip(integers, leaves, strict=True)
        return structure.unflatten([self.form.decode(x, fraction, y.dtype) for x, y in pairs])
