"""A worker: one estimator, its state, and nothing that knows how messages travel."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.aggregate import Weights, WorkerResult
from metaopt.estimators.base import Context, GradientEstimator
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import LossScale
from taskset.base import Dataset, Key
from taskset.errors import InputError

# The state of a worker as flat arrays by path: "num_done", "state/age", "state/params/0" ... It is
# empty for a worker that has not begun, or was lost; to restore that is to begin anew.
Snapshot: TypeAlias = Mapping[str, np.ndarray]

NUM_DONE = "num_done"


@dataclasses.dataclass(frozen=True)
class WorkerSpec:
    """All that makes a worker, wherever it runs; small to send, for data are loaded on arrival."""

    index: int
    task: str  # name of what it trains on, for reports and loss scales
    estimator: GradientEstimator
    seed: int  # of the run, the same for all workers

    def build(self) -> "Worker":
        """The worker. Raises `InputError` when its data are not there."""
        return Worker(self, self.estimator.problem.load_data())


class Worker:
    """Answers weights with estimates.

    What it draws depends on the seed of the run, the outer step, its index, and how many estimates
    it has done: not on where or when it runs, and never again on the same for a worker that was
    started anew.
    """

    def __init__(self, spec: WorkerSpec, data: Dataset):
        self.spec = spec
        self._data = data
        self._state: Any = None
        self._num_done = 0

    def compute(self, weights: Weights) -> WorkerResult:
        """The next estimate, at `weights`; its leaves are numpy arrays.

        The first one starts the runs, at an offset within the horizon that is random, with nothing
        accumulated.
        """
        start = time.perf_counter()
        init, estimate = _programs(self.spec.estimator)
        scale = weights.loss_scales.get(self.spec.task, LossScale())
        context = Context(np.array(weights.outer_step, np.int32), scale)
        key_init, key_estimate = _keys(
            np.uint32(self.spec.seed),
            np.uint32(weights.outer_step),
            np.uint32(self.spec.index),
            np.uint32(self._num_done),
        )
        if self._num_done == 0:
            self._state = init(weights.meta_params, self._data, key_init, context)
        result, self._state = estimate(
            weights.meta_params, self._state, self._data, key_estimate, context
        )
        result = jax.device_get(result)
        self._num_done += 1
        seconds = time.perf_counter() - start
        return WorkerResult(self.spec.index, self.spec.task, weights.outer_step, result, seconds)

    def snapshot(self) -> Snapshot:
        """A copy of the state, from which `restore` goes on to the same bits."""
        state = {f"state/{path}": _to_numpy(leaf) for path, leaf in _by_path(self._state).items()}
        return {NUM_DONE: np.array(self._num_done, np.int64), **state}

    def restore(self, snapshot: Snapshot, meta_params: MetaParams) -> None:
        """Takes over the state of `snapshot`; of `meta_params` only shapes and dtypes count.

        Raises `InputError` when keys, shapes or dtypes are not those of this worker's estimator.
        """
        num_done = int(snapshot.get(NUM_DONE, 0))
        template = jax.eval_shape(
            self.spec.estimator.init, meta_params, self._data, jax.random.key(0), Context()
        )
        wanted = {f"state/{path}": leaf for path, leaf in _by_path(template).items()}
        if num_done == 0:
            self._state, self._num_done = None, 0
            return
        for path in sorted(wanted.keys() ^ (snapshot.keys() - {NUM_DONE})):
            raise self._mismatch(path, "is missing" if path in wanted else "has no place there")
        leaves = [self._from_numpy(path, snapshot[path], leaf) for path, leaf in wanted.items()]
        self._state = jax.tree.unflatten(jax.tree.structure(template), leaves)
        self._num_done = num_done

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


@functools.lru_cache(maxsize=16)
def _programs(estimator: GradientEstimator) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`init` and `estimate` compiled, shared by workers of this process with equal estimators."""
    return jax.jit(estimator.init), jax.jit(estimator.estimate, donate_argnums=1)


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
