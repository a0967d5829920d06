"""Whole inner runs on held-out tasks: what baselines and evaluations are made of.

A run is named by a stream and a seed. Every optimizer that trains the run of one name gets the same
task, the same start and the same minibatches, so that differences between optimizers are paired.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.inner_problem import InnerState, OptimizerTraining
from metaopt.learned_optimizers.base import MetaParams
from taskset import costs
from taskset.base import Batch, Dataset, Key, Split, TaskFamily

# selection   choosing among checkpoints
# report      the numbers that are published, on tasks that no choice has seen
# scale       the baselines that loss normalisation needs
Stream: TypeAlias = Literal["selection", "report", "scale"]

ROOT_SEED = 0x68656C64  # no stream shares keys with meta-training, which derives them from its seed
RUNS_AT_ONCE = 80  # enough to fill the vector units, few enough to stay in the cache
EXAMPLES_AT_ONCE = 2048
BYTES_AT_ONCE = 2e9  # of memory, for the runs that go on at once
STATE_BYTES_PER_PARAMETER = 256  # what a learned optimizer has in hand, generously


class HeldOutRuns(NamedTuple):
    """What came of runs of several settings of an optimizer, on several seeds."""

    curves: Any  # [num_settings, num_seeds, num_steps] float32, minibatch loss before a step
    final_train_loss: Any  # [num_settings, num_seeds] float32, on the whole train split
    test_loss: Any  # [num_settings, num_seeds] float32, on the whole test split


def evaluation_key(stream: Stream, seed: int) -> Key:
    """The key of one held-out run: decides its task, its start and its minibatches."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(ROOT_SEED), _tag(stream)), seed)


def evaluation_keys(stream: Stream, seeds: Sequence[int]) -> Key:
    """The keys of several held-out runs, [num_seeds]."""
    stream_key = jax.random.fold_in(jax.random.key(ROOT_SEED), _tag(stream))
    return jax.vmap(jax.random.fold_in, (None, 0))(stream_key, jnp.asarray(seeds, jnp.uint32))


def _tag(stream: Stream) -> int:
    return crc32(stream.encode())


def train(
    problem: OptimizerTraining,
    settings: MetaParams,
    data: Dataset,
    keys: Key,
    num_steps: int,
    at_once: int = RUNS_AT_ONCE,
) -> HeldOutRuns:
    """Trains every held-out run with every setting of the optimizer, in one compiled program.

    The leaves of `settings` are meta-parameters stacked to [num_settings, ...]; `keys` is
    [num_seeds]. Memory is that of `at_once` runs, or of one seed where there are more settings.
    """
    return _train(problem.program(), settings, data, keys, num_steps, at_once)


@jax.jit(static_argnames=("problem", "num_steps", "at_once"))
def _train(
    problem: OptimizerTraining,
    settings: MetaParams,
    data: Dataset,
    keys: Key,
    num_steps: int,
    at_once: int,
) -> HeldOutRuns:
    def one_run(setting: MetaParams, key: Key) -> HeldOutRuns:
        key_init, key_steps, key_end = jax.random.split(key, 3)
        step = lambda state, key: problem.step(setting, state, data, key)
        start = problem.init(setting, data, key_init)
        end, curve = jax.lax.scan(step, start, jax.random.split(key_steps, num_steps))
        evaluated = problem.optimizer.evaluation_params(end.opt_state, end.params)
        end = end._replace(params=evaluated)
        return HeldOutRuns(
            curve,
            whole_loss(end, data, "train", key_end),
            whole_loss(end, data, "test", key_end),
        )

    one_seed = jax.vmap(one_run, in_axes=(0, None))
    num_settings = jax.tree.leaves(settings)[0].shape[0]
    seeds_at_once = max(1, at_once // num_settings)
    runs = jax.lax.map(lambda key: one_seed(settings, key), keys, batch_size=seeds_at_once)
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), runs)


def train_in_parts(
    problem: OptimizerTraining,
    settings: Mapping[str, np.ndarray],
    data: Dataset,
    keys: Key,
    num_steps: int,
    settings_at_once: int,
    at_once: int = RUNS_AT_ONCE,
) -> HeldOutRuns:
    """`train` of any number of settings by one program, which takes some of them at a time.

    The last part is filled up with the last setting. The arrays are numpy's.
    """
    size = max(1, min(settings_at_once, at_once))
    number = len(next(iter(settings.values())))
    indices = np.arange(-(-number // size) * size).clip(max=number - 1).reshape(-1, size)
    parts = []
    for part in indices:
        chosen = {name: jnp.asarray(values[part]) for name, values in settings.items()}
        parts.append(jax.device_get(train(problem, chosen, data, keys, num_steps, at_once)))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays)[:number], *parts)


def runs_at_once(family: TaskFamily) -> int:
    """How many runs fit `BYTES_AT_ONCE`, by an estimate from above; at most `RUNS_AT_ONCE`."""
    cost = costs.estimate(family)
    # The loss on a whole split takes more examples at a time than a step does.
    examples = max(1.0, EXAMPLES_AT_ONCE / max(1, family.batch_size))
    per_run = cost.memory_bytes * examples + cost.parameters * STATE_BYTES_PER_PARAMETER
    return max(1, min(RUNS_AT_ONCE, int(BYTES_AT_ONCE / per_run)))


def whole_loss(state: InnerState, data: Dataset, split: Split, key: Key) -> jax.Array:
    """The loss on all examples of `split`, [] float32, for losses that are means over examples."""
    batch = data.whole(split)
    num_examples = jax.tree.leaves(batch)[0].shape[0] if jax.tree.leaves(batch) else 0
    if num_examples <= EXAMPLES_AT_ONCE:
        return state.task.loss(state.params, batch, key)

    # Large splits go through in equal parts, and a last one that is shorter.
    num_parts = num_examples // EXAMPLES_AT_ONCE
    num_whole = num_parts * EXAMPLES_AT_ONCE
    parts = jax.tree.map(lambda x: x[:num_whole].reshape(num_parts, -1, *x.shape[1:]), batch)
    part_loss = lambda part: state.task.loss(state.params, part, key)
    total = jnp.sum(jax.lax.map(part_loss, parts)) * float(EXAMPLES_AT_ONCE)
    if num_examples > num_whole:
        rest: Batch = jax.tree.map(lambda x: x[num_whole:], batch)
        total = total + part_loss(rest) * float(num_examples - num_whole)
    return total / float(num_examples)
