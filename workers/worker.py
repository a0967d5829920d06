"""A worker: one estimator, its state, and nothing that knows how messages travel."""

import dataclasses
import functools
import time
from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.aggregate import Weights, WorkerResult
from metaopt.estimators import devices, nonfinite
from metaopt.estimators.base import Context, GradientEstimator
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import LossScale
from taskset.base import Dataset, Key
from taskset.errors import InputError
from workers import memory
from workers.assignment import Assigned, TaskStream
from workers.compile_clock import clock
from workers.wire import Wire

# The state of a worker as flat arrays by path: "num_done", "state/age", "state/params/0" ... It is
# empty for a worker that has not begun, or was lost; to restore that is to begin anew.
Snapshot: TypeAlias = Mapping[str, np.ndarray]

NUM_DONE = "num_done"
LIVE_PROGRAMS = 8  # compiled ones that a process keeps; the one used least recently goes first


@dataclasses.dataclass(frozen=True)
class WorkerSpec:
    """All that makes a worker, wherever it runs; small to send, for data are loaded on arrival."""

    index: int
    task: str  # name of what it trains on, for reports and loss scales
    estimator: GradientEstimator
    seed: int  # of the run, the same for all workers
    stream: TaskStream | None = None  # where its tasks come from, when not always the same
    num_devices: int = 1  # of its process, that an estimate is divided among
    wire: Wire = "vector"  # what it sends of a gradient, when it is in a process of its own
    num_gpus: float = 0.0  # that it asks for, which may be a share of one; 0 is a worker on the CPU

    def build(self, outer_step: int = 0) -> "Worker":
        """The worker, which begins at `outer_step`. Raises `InputError` when its data are missing.

        One that takes another's place in the middle of a run begins with the task that the other
        would have come to, not with the first ones again.
        """
        return Worker(self, self.first_after(outer_step))

    def first_after(self, outer_step: int) -> int:
        """How many estimates a worker that begins at `outer_step` counts as done."""
        return self.stream.first_after(outer_step) if self.stream else 0

    def at(self, num_done: int) -> Assigned:
        """What the worker does after `num_done` estimates."""
        if self.stream is None:
            return Assigned(self.task, self.estimator, begins=False)
        return self.stream.at(self.index, num_done)


class Worker:
    """Answers weights with estimates.

    What it draws depends on the seed of the run, the outer step, its index, and how many estimates
    it has done: not on where or when it runs, and never again on the same for a worker that was
    started anew. Workers with shares of one estimate draw the same.
    """

    def __init__(self, spec: WorkerSpec, num_done: int = 0):
        self.spec = spec
        self._state: Any = None
        self._num_done = num_done
        self._explained = False
        self._data = self._placed(spec.at(num_done).estimator.problem.load_data())
        self._clock = clock()

    def compute(self, weights: Weights) -> WorkerResult:
        """The next estimate, at `weights`; its leaves are numpy arrays.

        The first one of a task starts the runs, at an offset within the horizon that is random,
        with nothing accumulated.
        """
        start, compiled = time.perf_counter(), self._clock.seconds
        task, estimator, begins = self.spec.at(self._num_done)
        begins |= self._state is None
        if begins:
            self._state = None  # before the next task takes memory
        if begins or estimator.problem.num_shards > 1:
            self._data = self._placed(estimator.problem.load_shard(self._num_done))
        init, estimate = programs(_program(estimator), self.spec.num_devices)
        scale = weights.loss_scales.get(task) or self._loss_scale(task)
        share = self.spec.index % estimator.shares
        context = Context(np.array(weights.outer_step, np.int32), scale, np.int32(share))
        key_init, key_estimate = keys_of(self.spec, weights.outer_step, self._num_done)
        with memory.no_collection():
            if begins:
                self._state = init(weights.meta_params, self._data, key_init, context)
            result, self._state = estimate(
                weights.meta_params, self._state, self._data, key_estimate, context
            )
        result = jax.device_get(result)
        why = ""
        if result.metrics["nonfinite_runs"] and not self._explained:
            why = nonfinite.explain(
                estimator, weights.meta_params, self._data, key_estimate, context
            )
            self._explained = bool(why)  # one is enough, and another takes as long as an estimate
        self._num_done += 1
        seconds = time.perf_counter() - start
        compile_seconds = self._clock.seconds - compiled
        if compile_seconds:
            memory.give_back()  # most of a gigabyte, after a large program
        index, step = self.spec.index, weights.outer_step
        return WorkerResult(
            index,
            task,
            step,
            result,
            seconds,
            compile_seconds,
            memory_bytes=memory.resident_bytes(),
            explanation=why,
            shares=estimator.shares,
            num_done=self._num_done - 1,
        )

    def snapshot(self) -> Snapshot:
        """A copy of the state, from which `restore` goes on to the same bits."""
        state = {f"state/{path}": _to_numpy(leaf) for path, leaf in _by_path(self._state).items()}
        return {NUM_DONE: np.array(self._num_done, np.int64), **state}

    def restore(self, snapshot: Snapshot, meta_params: MetaParams) -> None:
        """Takes over the state of `snapshot`; of `meta_params` only shapes and dtypes count.

        Raises `InputError` when keys, shapes or dtypes are not those of this worker's estimator.
        """
        num_done = int(snapshot.get(NUM_DONE, 0))
        if not snapshot.keys() - {NUM_DONE}:
            self._state, self._num_done = None, num_done
            return
        # The task of the estimate that the state came from; at its end, the state is of no use.
        estimator = self.spec.at(num_done - 1).estimator
        self._data = self._placed(estimator.problem.load_data())
        template = jax.eval_shape(
            estimator.init, meta_params, self._data, jax.random.key(0), Context()
        )
        wanted = {f"state/{path}": leaf for path, leaf in _by_path(template).items()}
        for path in sorted(wanted.keys() ^ (snapshot.keys() - {NUM_DONE})):
            raise self._mismatch(path, "is missing" if path in wanted else "has no place there")
        leaves = [self._from_numpy(path, snapshot[path], leaf) for path, leaf in wanted.items()]
        self._state = jax.tree.unflatten(jax.tree.structure(template), leaves)
        self._num_done = num_done

    def _placed(self, data: Dataset) -> Dataset:
        return devices.on_each(data, self.spec.num_devices)

    def _loss_scale(self, task: str) -> LossScale:
        """The scale of a task that the learner knows none of."""
        return self.spec.stream.loss_scale(task) if self.spec.stream else LossScale()

    def _from_numpy(self, path: str, array: np.ndarray, like: jax.ShapeDtypeStruct) -> jax.Array:
        shape, dtype = like.shape, like.dtype
        if is_key := jnp.issubdtype(dtype, jax.dtypes.prng_key):
            raw = jax.eval_shape(jax.random.key_data, like)
            shape, dtype = raw.shape, raw.dtype
        if (array.shape, array.dtype) != (shape, dtype):
            found, needed = f"{array.dtype}{list(array.shape)}", f"{dtype}{list(shape)}"
            raise self._mismatch(path, f"is {found} and has to be {needed}")
        leaf = jnp.array(array)  # a copy: the next estimate takes its memory
        return jax.random.wrap_key_data(leaf) if is_key else leaf

    def _mismatch(self, path: str, problem: str) -> InputError:
        return InputError(
            f"the saved state of worker {self.spec.index} ({self.spec.task}) does not fit its "
            f"estimator: {path!r} {problem}; resume with the configuration that wrote it"
        )


def _program(estimator: GradientEstimator) -> GradientEstimator:
    """What the compiled programs of `estimator` depend on."""
    return dataclasses.replace(estimator, problem=estimator.problem.program())


@functools.lru_cache(maxsize=LIVE_PROGRAMS)
def programs(estimator: GradientEstimator, num_devices: int = 1) -> devices.Programs:
    """`init` and `estimate` compiled, shared by workers of this process with equal estimators.

    Raises `InputError` where this process has fewer devices.
    """
    return devices.programs(estimator, num_devices)


def keys_of(spec: WorkerSpec, outer_step: int, num_done: int) -> tuple[Key, Key]:
    """What a worker that has made `num_done` estimates starts runs with, and makes the next with.

    Shares are of the same runs, even where one of the workers was started anew.
    """
    shares = spec.estimator.shares
    return _keys(
        np.uint32(spec.seed),
        np.uint32(outer_step),
        np.uint32(spec.index // shares),
        np.uint32(num_done if shares == 1 else 0),
    )


@jax.jit
def _keys(seed: Any, outer_step: Any, worker: Any, num_done: Any) -> tuple[Key, Key]:
    key = jax.random.key(seed)
    for number in (outer_step, worker, num_done):
        key = jax.random.fold_in(key, number)
    key_init, key_estimate = jax.random.split(key)
    return key_init, key_estimate


def _by_path(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _to_numpy(leaf: Any) -> np.ndarray:
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.array(jax.random.key_data(leaf) if is_key else leaf)
