"""How many tasks are computed side by side: on a CPU, as many as its cache holds.

Side by side they fill the vector units, and share what an operation costs besides its arithmetic.
But of too many, what one operation writes has left the cache before the next one reads it.
"""

from collections.abc import Callable
from typing import Any

import jax

from taskset.base import Key

CACHE = 2**21  # bytes that the tasks may carry from step to step; a step takes several times those
WITH_DERIVATIVE = 4  # times as many bytes, where steps are differentiated


def over_tasks(
    function: Callable[..., Any], *tasks: Any, like: Any = None, differentiates: bool = False
) -> Any:
    """`function` of the arrays of every task, leaves [num_tasks, ...]; results are stacked, too.

    `like` has the shapes of what all tasks carry from step to step, where that is not `tasks`. The
    numbers are those of `jax.vmap`, up to the order of additions.
    """
    num_tasks = len(jax.tree.leaves(tasks)[0])
    carried = jax.tree.leaves(tasks if like is None else like)
    num_bytes = sum(x.size * x.dtype.itemsize for x in carried)
    at_once = num_at_once(num_tasks, num_bytes * (WITH_DERIVATIVE if differentiates else 1))
    if at_once == num_tasks:
        return jax.vmap(function)(*tasks)
    return jax.lax.map(lambda task: function(*task), tasks, batch_size=at_once)


def shapes_of(start: Callable[[Key], Any], keys: Key) -> Any:
    """The shapes of what `start` makes of every one of `keys`; computes nothing."""
    return jax.eval_shape(jax.vmap(start), keys)


def num_at_once(num_tasks: int, num_bytes: int) -> int:
    """The greatest divisor of `num_tasks` that fits into the cache, if all take `num_bytes`.

    All of them on accelerators, and where they are divided among devices.
    """
    if jax.default_backend() != "cpu" or not jax.sharding.get_abstract_mesh().empty:
        return num_tasks
    fit = CACHE * num_tasks // max(num_bytes, 1)
    return max(n for n in range(1, num_tasks + 1) if num_tasks % n == 0 and n <= max(fit, 1))
