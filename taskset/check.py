"""What every task family promises, as checks that any family can be put through.

    findings = check(MyFamily())        [Finding("pickles", True, ""), ...]

A check returns when a promise is kept, and raises when it is not: `BrokenPromise`, or what the
family itself raised.
"""

import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import SPLITS, Batch, Dataset, Key, Task, TaskFamily

ASKED_FOR = 7  # examples, of a family with data
LARGEST_CONSTANT = 16  # elements that a program may hold without being a copy of the data
RELATIVE, ABSOLUTE = 1e-4, 1e-6  # tolerances of what is computed in two ways


class BrokenPromise(Exception):
    """A family does not do what `taskset.base` says."""


class Finding(NamedTuple):
    """What came of one check."""

    check: str
    ok: bool
    message: str  # what is wrong; empty when nothing is


def check(family: TaskFamily) -> list[Finding]:
    """Puts `family` through all `CHECKS`, in their order."""
    return [finding(name, family) for name in CHECKS]


def finding(name: str, family: TaskFamily) -> Finding:
    """What comes of one check, a key of `CHECKS`."""
    try:
        CHECKS[name](family)
    except Exception as error:
        said = " ".join(str(error).split())
        kind = "" if isinstance(error, BrokenPromise) else f"{type(error).__name__}: "
        return Finding(name, False, f"{kind}{said}")
    return Finding(name, True, "")


def pickles(family: TaskFamily) -> None:
    """It pickles to an equal value with an equal hash: it is sent to workers, and keys caches."""
    copy = pickle.loads(pickle.dumps(family))
    _require(copy == family, f"{copy} is not equal to {family}, of which it is a pickled copy")
    _require(hash(copy) == hash(family), "a pickled copy has another hash")


def repeats(family: TaskFamily) -> None:
    """The same key gives the same task and the same start."""
    data, key = family.load_data(), jax.random.key(1)
    tasks = [family.sample(data, key) for _ in range(2)]
    _require_equal(tasks, "the same key gave two tasks that differ")
    starts = [task.init(jax.random.key(2)) for task in tasks]
    _require_equal(starts, "the same key gave two starts that differ")


def keeps_shapes(family: TaskFamily) -> None:
    """Every key gives parameters of the same shapes and dtypes."""
    data, keys = family.load_data(), [jax.random.key(index) for index in range(2)]
    shapes = [
        jax.tree.map(lambda x: (x.shape, x.dtype), family.sample(data, key).init(key))
        for key in keys
    ]
    _require(shapes[0] == shapes[1], f"two keys gave parameters of {shapes[0]} and {shapes[1]}")


def has_finite_loss_and_gradients(family: TaskFamily) -> None:
    """At the start the loss is a finite [] float32; gradients are finite, and not all zero."""
    data, key = family.load_data(), jax.random.key(0)
    task = family.sample(data, key)
    batch = _minibatch(family, data, key)
    loss, gradients = jax.value_and_grad(task.loss)(task.init(key), batch, key)
    _require(loss.shape == (), f"the loss has shape {loss.shape}; it must be a scalar")
    _require(loss.dtype == jnp.float32, f"the loss is {loss.dtype}; it must be float32")
    _require(bool(jnp.isfinite(loss)), f"the loss at the start is {loss}")
    leaves = jax.tree.leaves(gradients)
    finite = all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in leaves)
    _require(finite, "gradients at the start are not finite")
    _require(any(bool(jnp.any(leaf != 0)) for leaf in leaves), "all gradients at the start are 0")


def maps_over_tasks(family: TaskFamily) -> None:
    """`vmap` over tasks gives the losses of one task after another."""
    data, keys = family.load_data(), jax.random.split(jax.random.key(0), 3)

    @jax.jit
    def at_once(data: Dataset, keys: Key) -> jax.Array:
        tasks = jax.vmap(family.sample, in_axes=(None, 0))(data, keys)
        loss = lambda task, key: _loss(family, task, data, key)
        return jax.vmap(loss)(tasks, keys)

    alone = jax.jit(lambda data, key: _loss(family, family.sample(data, key), data, key))
    one_by_one = jnp.stack([alone(data, key) for key in keys])
    losses = [at_once(data, keys), one_by_one]
    _require_close(losses, "losses of three tasks under vmap, and alone,")


def traces_once(family: TaskFamily) -> None:
    """Another key is another input of the same compiled program."""
    data, traces = family.load_data(), []

    @jax.jit
    def loss(data: Dataset, key: Key) -> jax.Array:
        traces.append(None)
        return _loss(family, family.sample(data, key), data, key)

    for seed in range(2):
        loss(data, jax.random.key(seed))
    _require(len(traces) == 1, "a second key traced the program again")


def takes_data_as_an_argument(family: TaskFamily) -> None:
    """Minibatches come from the data that are passed in, not from constants in the program."""

    def minibatch(data: Dataset, key: Key) -> Batch:
        return _minibatch(family, data, key)

    data, key = family.load_data(), jax.random.key(0)
    constants = [np.size(constant) for constant in jax.make_jaxpr(minibatch)(data, key).consts]
    _require(
        all(size <= LARGEST_CONSTANT for size in constants),
        f"arrays of {constants} elements are constants of the program that draws a minibatch; "
        "make them leaves of the data set",
    )
    compiled, eager = jax.jit(minibatch)(data, key), minibatch(data, key)
    _require_close([compiled, eager], "a minibatch drawn inside of jit, and outside of it,")


def draws_minibatches_by_key(family: TaskFamily) -> None:
    """In every split: the same key, the same minibatch; as many examples as were asked for."""
    data = family.load_data()
    for split in SPLITS:
        same = [data.sample(split, jax.random.key(0), ASKED_FOR) for _ in range(2)]
        _require_equal(same, f"the same key gave two minibatches of {split} that differ")
        if family.batch_size == 0:
            continue
        sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(same[0])}
        _require(
            sizes == {(ASKED_FOR,)},
            f"a minibatch of {split} of {ASKED_FOR} examples has {sizes or 'no'} leading sizes",
        )


def has_an_equivalent_program(family: TaskFamily) -> None:
    """What `program()` returns makes the same tasks of the same data."""
    data, key = family.load_data(), jax.random.key(0)
    tasks = [made.sample(data, key) for made in (family, family.program())]
    starts = [task.init(key) for task in tasks]
    _require_equal(starts, "the program of the family gives another start")
    losses = [_loss(family, task, data, key) for task in tasks]
    _require_close(losses, "the loss of the family, and that of its program,")


CHECKS: dict[str, Callable[[TaskFamily], None]] = {
    "pickles to an equal value": pickles,
    "the same key gives the same task": repeats,
    "every key gives the same shapes": keeps_shapes,
    "finite loss and gradients": has_finite_loss_and_gradients,
    "vmap over tasks equals one by one": maps_over_tasks,
    "another key does not trace again": traces_once,
    "data enter as an argument": takes_data_as_an_argument,
    "minibatches by key, of the size asked for": draws_minibatches_by_key,
    "its program makes the same tasks": has_an_equivalent_program,
}


def _minibatch(family: TaskFamily, data: Dataset, key: Key) -> Batch:
    return data.sample("train", key, family.batch_size)


def _loss(family: TaskFamily, task: Task, data: Dataset, key: Key) -> jax.Array:
    return task.loss(task.init(key), _minibatch(family, data, key), key)


def _require(kept: bool, message: str) -> None:
    if not kept:
        raise BrokenPromise(message)


def _require_equal(two: Sequence[Any], message: str) -> None:
    a, b = two
    _require(jax.tree.structure(a) == jax.tree.structure(b), message)
    pairs = zip(_arrays(a), _arrays(b), strict=True)
    _require(all(np.array_equal(x, y, equal_nan=True) for x, y in pairs), message)


def _require_close(two: Sequence[Any], what: str) -> None:
    """Raises when the leaves of two trees of one structure differ by more than rounding."""
    a, b = two
    for x, y in zip(_arrays(a), _arrays(b), strict=True):
        if not np.allclose(x, y, RELATIVE, ABSOLUTE, equal_nan=True):
            with np.errstate(invalid="ignore"):
                most = np.max(np.abs(np.subtract(x, y, dtype=np.float64)))
            raise BrokenPromise(f"{what} differ by up to {most:g}")


def _arrays(tree: Any) -> list[np.ndarray]:
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    leaves = map(jnp.asarray, jax.tree.leaves(tree))
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in leaves]
