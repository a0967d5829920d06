"""One truncation of one run: the bookkeeping that all truncated estimators share."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from metaopt.estimators.base import Context
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.rematerialisation import Remat, scan
from metaopt.horizons import ENDLESS, Horizon
from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key

Start: TypeAlias = Callable[[Key], Any]  # the state of a new run, by key


class Run(NamedTuple):
    """An inner run between two truncations."""

    age: jax.Array  # [] int32, inner steps since it began
    length: jax.Array  # [] int32, it starts anew once age reaches it
    state: Any  # of the inner problem, or of both signs


def start_staggered(
    start: Start, horizon: Horizon, truncation: int, num_tasks: int, key: Key, context: Context
) -> Run:
    """`num_tasks` new runs, leaves [num_tasks, ...], whose ages are spread over their lengths.

    Without it all runs end together, and the mean gradient oscillates with the period of a run. The
    phase is random, so that workers do not end together either. The inner states are those of new
    runs: only the first pass is shorter.
    """
    key_phase, key_run = jax.random.split(key)
    keys = split_over_tasks(key_run, num_tasks)
    runs = jax.vmap(lambda key: _begin(start, horizon, truncation, key, context))(keys)
    place = jnp.arange(num_tasks, dtype=jnp.float32)
    share = (place + jax.random.uniform(key_phase, dtype=jnp.float32)) / num_tasks
    num_truncations = -(-runs.length // truncation)
    passed = (share * num_truncations.astype(jnp.float32)).astype(jnp.int32)
    age = jnp.minimum(passed, num_truncations - 1) * truncation
    return runs._replace(age=jnp.where(runs.length == ENDLESS, 0, age))


def restart_ended(
    run: Run, start: Start, horizon: Horizon, truncation: int, key: Key, context: Context
) -> Run:
    """`run`, or a new one when it has ended. Outside the scan: under `vmap` both are computed."""
    new = _begin(start, horizon, truncation, key, context)
    ended = run.age >= run.length
    return jax.tree.map(lambda new, old: jnp.where(ended, new, old), new, run)


def _begin(start: Start, horizon: Horizon, truncation: int, key: Key, context: Context) -> Run:
    key_length, key_start = jax.random.split(key)
    length = horizon.length(key_length, jnp.asarray(context.outer_step), truncation)
    return Run(jnp.zeros((), jnp.int32), length, start(key_start))


def advance(run: Run, state: Any, truncation: int, usable: jax.Array) -> Run:
    """The run after a truncation that led to `state`; one that is not `usable`, [] bool, ends."""
    return Run(jnp.where(usable, run.age + truncation, run.length), run.length, state)


def within(run: Run, truncation: int) -> jax.Array:
    """Which steps of the coming truncation belong to the run, [truncation] bool."""
    return run.age + jnp.arange(truncation) < run.length


def mean_within(losses: jax.Array, within: jax.Array) -> jax.Array:
    """The mean of `losses`, [num_steps], over the steps `within` the run: [] float32."""
    return jnp.sum(jnp.where(within, losses, 0.0)) / jnp.sum(within).astype(losses.dtype)


def all_finite(losses: jax.Array, within: jax.Array) -> jax.Array:
    """Whether `losses`, [..., num_steps], are finite in every step `within` the run: [] bool."""
    return jnp.all(jnp.isfinite(losses) | ~jnp.broadcast_to(within, losses.shape))


def unroll(
    problem: InnerProblem,
    meta_params: MetaParams,
    state: Any,
    data: Dataset,
    key: Key,
    num_steps: int,
    remat: Remat = "none",
) -> tuple[Any, jax.Array]:
    """Trains for `num_steps`: the next state, and the outer losses of the steps, [num_steps]."""
    keys = jax.random.split(key, num_steps)
    return unroll_steps(problem, meta_params, state, data, keys, remat)


def unroll_steps(
    problem: InnerProblem,
    meta_params: MetaParams,
    state: Any,
    data: Dataset,
    keys: Key,
    remat: Remat = "none",
) -> tuple[Any, jax.Array]:
    """`unroll` with the key of each step, [num_steps]."""
    step = lambda state, key: problem.step(meta_params, state, data, key)
    return scan(step, state, keys, remat)


def last_state(
    problem: InnerProblem,
    meta_params: MetaParams,
    state: Any,
    data: Dataset,
    keys: Key,
    remat: Remat = "none",
) -> Any:
    """The state after a step for each of `keys`, [num_steps], without the losses between."""
    advance = lambda state, key: (problem.advance(meta_params, state, data, key), None)
    return scan(advance, state, keys, remat)[0]
