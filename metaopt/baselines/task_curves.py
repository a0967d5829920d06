"""Loss curves of the configurations of a search space on a task, by the protocol of TaskSet.

Every configuration trains the same draws of the task from the same starts on the same minibatches,
once for each replica. 51 times, from step 0 to the last, the losses of all four splits are
estimated with the parameters before the update of that step
(https://arxiv.org/abs/2002.11887, section 4). A run that diverges goes on, and its losses are kept
as they are.
"""

import dataclasses
import functools
import io
import pathlib
import zipfile
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaopt import held_out
from metaopt.baselines import optimizers, search_spaces
from metaopt.baselines.one_rate import Adam
from metaopt.baselines.optimizers import SearchSpace
from metaopt.inner_problem import InnerState, OptimizerTraining
from metaopt.learned_optimizers.base import MetaParams
from taskset import costs, whole_files
from taskset.base import SPLITS, Dataset, Key, TaskFamily
from taskset.errors import InputError

NUM_EVALUATIONS = 51
CONFIGURATIONS_AT_ONCE = 20
BYTES_AT_ONCE = 10**9  # of memory, by estimate, for the configurations that run at once


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How long configurations train, and how exactly losses are estimated.

    Raises `InputError` when evaluations cannot be spread evenly over `num_steps`.
    """

    num_steps: int = 10_000
    num_minibatches: int = 50  # of each split, in each evaluation
    num_replicas: int = 5

    def __post_init__(self) -> None:
        intervals = NUM_EVALUATIONS - 1
        if self.num_steps < 1 or self.num_steps % intervals:
            raise InputError(
                f"the number of steps is {self.num_steps}; it must be a multiple of {intervals}, "
                f"for {NUM_EVALUATIONS} evaluations"
            )
        for name in ("num_minibatches", "num_replicas"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def steps(self) -> np.ndarray:
        """The steps before which losses are estimated, [51] int64."""
        return np.linspace(0, self.num_steps, NUM_EVALUATIONS).astype(np.int64)


class TaskCurves(NamedTuple):
    """The curves of some configurations on one task, in the layout of the release."""

    optimizers: np.ndarray  # [configurations] bytes, their names
    xs: np.ndarray  # [51] int64, steps
    ys: np.ndarray  # [configurations, replicas, 51, 4] float32, losses of the splits of `SPLITS`


def compute(family: TaskFamily, names: Sequence[str], protocol: Protocol) -> TaskCurves:
    """Trains tasks of `family` with every one of the configurations `names`, of one search space.

    Raises `InputError` for an unknown name, or names of more than one space.
    """
    settings = optimizers.stack(names)
    space = SearchSpace(search_spaces.resolve(names[0])[0])
    problem = OptimizerTraining(family, space, num_steps=protocol.num_steps).program()
    data = family.load_data()
    counts = jnp.asarray(np.append(np.diff(protocol.steps), 0), jnp.int32)
    keys = held_out.evaluation_keys("scale", range(protocol.num_replicas))
    indices = _parts(family, len(names))
    parts = [{name: x[part] for name, x in settings.items()} for part in indices]
    replicas = []
    for key in keys:
        run = functools.partial(
            _run, data=data, key=key, counts=counts, num_minibatches=protocol.num_minibatches
        )
        losses = [jax.device_get(run(problem, part)) for part in parts]
        replicas.append(np.concatenate(losses)[: len(names)])
    return TaskCurves(np.asarray(names, np.bytes_), protocol.steps, np.stack(replicas, axis=1))


def adam_curves(family: TaskFamily, rates: Sequence[float], num_steps: int) -> np.ndarray:
    """The minibatch training losses of Adam before each step, [rates, num_steps] float32.

    All rates train the same task from the same start on the same minibatches.
    """
    problem = OptimizerTraining(family, Adam()).program()
    settings = {"learning_rate": jnp.asarray(rates, jnp.float32)}
    key = held_out.evaluation_key("scale", 0)
    return np.asarray(_train(problem, settings, family.load_data(), key, num_steps))


def write(path: pathlib.Path, curves: TaskCurves) -> None:
    """Writes a compressed .npz, all of it or nothing. Raises `OSError` when it cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez_compressed(content, **curves._asdict())
    whole_files.replace(path, content.getvalue())


def read(path: pathlib.Path) -> TaskCurves:
    """The curves that lie at `path`. Raises `InputError` when the file holds none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return TaskCurves(*(arrays[name] for name in TaskCurves._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no curves: {error}; remove it, and run again") from error


def _parts(family: TaskFamily, number: int) -> np.ndarray:
    """The indices of configurations that run side by side, [parts, at once].

    The last part is filled up with the last configuration: one program serves all parts.
    """
    memory = max(1, costs.estimate(family).memory_bytes)
    at_once = max(1, min(CONFIGURATIONS_AT_ONCE, BYTES_AT_ONCE // memory))
    num_parts = -(-number // at_once)
    indices = np.arange(num_parts * -(-number // num_parts)).clip(max=number - 1)
    return indices.reshape(num_parts, -1)


@jax.jit(static_argnames=("problem", "num_minibatches"))
def _run(
    problem: OptimizerTraining,
    settings: MetaParams,
    data: Dataset,
    key: Key,
    counts: jax.Array,
    num_minibatches: int,
) -> jax.Array:
    """Losses [configurations, len(counts), 4]; `counts`, int32, are the steps after each."""
    key_init, key_steps, key_losses = jax.random.split(key, 3)

    def one(setting: MetaParams) -> jax.Array:
        def interval(state: InnerState, inputs: tuple[jax.Array, ...]):
            index, count = inputs
            key = jax.random.fold_in(key_losses, index)
            losses = _losses(state, data, key, problem.family.batch_size, num_minibatches)
            keys = jax.random.fold_in(key_steps, index)
            step = lambda i, state: problem.step(setting, state, data, jax.random.fold_in(keys, i))[
                0
            ]
            return jax.lax.fori_loop(0, count, step, state), losses

        start = problem.init(setting, data, key_init)
        return jax.lax.scan(interval, start, (jnp.arange(counts.shape[0]), counts))[1]

    return jax.vmap(one)(settings)


def _losses(
    state: InnerState, data: Dataset, key: Key, batch_size: int, num_minibatches: int
) -> jax.Array:
    """The mean loss of minibatches of every split, [4] float32, all with the same parameters."""

    def of_minibatch(key: Key) -> jax.Array:
        keys = jax.random.split(key, (2, len(SPLITS)))
        batches = [data.sample(s, k, batch_size) for s, k in zip(SPLITS, keys[0], strict=True)]
        # Stacked and mapped, so that the loss is compiled once and not for every split.
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
        loss = lambda inputs: state.task.loss(state.params, *inputs)
        return jax.lax.map(loss, (stacked, keys[1]))

    return jnp.mean(jax.lax.map(of_minibatch, jax.random.split(key, num_minibatches)), axis=0)


@jax.jit(static_argnames=("problem", "num_steps"))
def _train(
    problem: OptimizerTraining, settings: MetaParams, data: Dataset, key: Key, num_steps: int
) -> jax.Array:
    key_init, key_steps = jax.random.split(key)

    def one(setting: MetaParams) -> jax.Array:
        step = lambda state, key: problem.step(setting, state, data, key)
        start = problem.init(setting, data, key_init)
        return jax.lax.scan(step, start, jax.random.split(key_steps, num_steps))[1]

    return jax.vmap(one)(settings)
