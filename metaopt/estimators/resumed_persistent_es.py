"""Persistent evolution strategies whose new runs mostly go on from where old ones went badly.

ELO (https://arxiv.org/abs/2607.06772) keeps, for every run, a few states from which its loss rose
or it came to its end. When a run ends, the next one goes on from one of them more often than it
starts afresh: so what a learned optimizer does badly late in training is seen often, though runs
are short. The sum of perturbations is taken over with the state, which depends on it.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaopt.estimators import runs
from metaopt.estimators.antithetic import PairLoss
from metaopt.estimators.base import Context
from metaopt.estimators.persistent_es import PersistentEstimator, PersistentPair
from metaopt.estimators.rematerialisation import Remat
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key
from taskset.errors import InputError


class Memory(NamedTuple):
    """What a run keeps of those before it in its place, and of itself."""

    kept: runs.Run  # of `PersistentPair`, leaves [buffer_size, ...]
    num_kept: jax.Array  # [] int32, since the start; the oldest is overwritten
    least: jax.Array  # [] float32, the least mean loss of a truncation of this run
    rise: jax.Array  # [] float32, how far above its least the loss has been at most


class ResumedPair(NamedTuple):
    """A `PersistentPair` with a memory."""

    states: Any
    noise: MetaParams
    total_noise: MetaParams
    memory: Memory


@dataclasses.dataclass(frozen=True)
class ResumedPersistentES(PersistentEstimator):
    """PES with a buffer of `buffer_size` states in the place of every run.

    What goes on from one has as many more steps as a new run. A state is kept from the start of the
    truncation in which the mean loss rose further above its least than before in that run, or in
    which the run ended. (The paper's code compares losses of steps, which minibatches move alone.)
    """

    fresh_share: float = 0.1  # of the runs that start afresh
    buffer_size: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.fresh_share <= 1:
            raise InputError(f"fresh_share is {self.fresh_share}; it must be between 0 and 1")
        if self.buffer_size < 1:
            raise InputError(f"buffer_size is {self.buffer_size}; it must be at least 1")

    @property
    def noise_period(self) -> int:
        return self.truncation

    def _start_at(self, pair: MetaParams, data: Dataset) -> runs.Start:
        start = super()._start_at(pair, data)

        def start_with_memory(key: Key) -> ResumedPair:
            pair = start(key)
            run = runs.Run(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), pair)
            stack = lambda x: jnp.broadcast_to(x, (self.buffer_size, *x.shape))
            kept = jax.tree.map(stack, run)
            none = jnp.zeros((), jnp.int32)
            memory = Memory(kept, none, jnp.float32(jnp.inf), jnp.float32(0.0))
            return ResumedPair(**pair._asdict(), memory=memory)

        return start_with_memory

    def _perturbed(
        self, run: runs.Run, noise: MetaParams, start: runs.Start, key: Key, context: Context
    ) -> runs.Run:
        key_start, key_resume = jax.random.split(key)
        memory, begins = run.state.memory, run.age >= run.length
        run = self._resumed(run, key_resume, context)
        run = super()._perturbed(run, noise, start, key_start, context)
        memory = memory._replace(
            least=jnp.where(begins, jnp.inf, memory.least),
            rise=jnp.where(begins, 0.0, memory.rise),
        )
        return run._replace(state=run.state._replace(memory=memory))

    def _resumed(self, run: runs.Run, key: Key, context: Context) -> runs.Run:
        """`run`; or, when it has ended and is not to start afresh, one from its memory."""
        key_share, key_slot, key_length = jax.random.split(key, 3)
        kept, num_kept = run.state.memory.kept, run.state.memory.num_kept
        slot = jax.random.randint(key_slot, (), 0, jnp.clip(num_kept, 1, self.buffer_size))
        old = jax.tree.map(lambda x: x[slot], kept)
        outer_step = jnp.asarray(context.outer_step)
        length = old.age + self.horizon.length(key_length, outer_step, self.truncation)
        pair = ResumedPair(**old.state._asdict(), memory=run.state.memory)
        old = runs.Run(old.age, length, pair)
        resume = (run.age >= run.length) & (num_kept > 0)
        resume = resume & (jax.random.uniform(key_share) >= self.fresh_share)
        return jax.tree.map(lambda x, y: jnp.where(resume, x, y), old, run)

    def _truncation(
        self,
        at: MetaParams,
        run: runs.Run,
        data: Dataset,
        key: Key,
        context: Context,
        remat: Remat = "none",
    ) -> tuple[runs.Run, PairLoss]:
        after, loss = super()._truncation(at, run, data, key, context, remat)
        memory = self._remember(run, after.age >= after.length, loss)
        return after._replace(state=after.state._replace(memory=memory)), loss

    def _remember(self, run: runs.Run, ended: jax.Array, loss: PairLoss) -> Memory:
        """The memory after a truncation of `run`."""
        states, noise, total_noise, memory = run.state
        least = jnp.minimum(memory.least, loss.mean)
        rise = jnp.maximum(memory.rise, loss.mean - least)
        keep = loss.usable & (ended | (rise > memory.rise))
        # The perturbation of the truncation is not yet in its start.
        earlier = jax.tree.map(jnp.subtract, total_noise, noise)
        now = runs.Run(run.age, run.length, PersistentPair(states, noise, earlier))
        slot = memory.num_kept % self.buffer_size
        put = lambda kept, x: kept.at[slot].set(jnp.where(keep, x, kept[slot]))
        kept = jax.tree.map(put, memory.kept, now)
        return Memory(kept, memory.num_kept + keep.astype(jnp.int32), least, rise)
