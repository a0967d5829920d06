"""One estimate on several devices: its tasks are divided among them, all else is on each.

The axis of tasks leads all that a task has: keys, perturbations, inner states. It is enough to say
where the keys of the tasks are, and the state between two calls; the compiler divides what is
computed from them. Only the means over tasks travel between devices.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from metaopt.estimators.base import GradientEstimator
from taskset.base import Dataset, Key
from taskset.errors import InputError

TASKS = "tasks"  # the only axis of the mesh


def split_over_tasks(key: Key, num_tasks: int) -> Key:
    """A key for every task, [num_tasks], divided among the devices of `programs`."""
    keys = jax.random.split(key, num_tasks)
    if jax.sharding.get_abstract_mesh().empty:
        return keys
    return jax.lax.with_sharding_constraint(keys, PartitionSpec(TASKS))


class Programs(NamedTuple):
    """The methods of an estimator, jitted; `estimate` takes over the memory of the state."""

    init: Any
    estimate: Any


def programs(estimator: GradientEstimator, num_devices: int = 1) -> Programs:
    """What computes the estimates of `estimator` on the first devices of this process.

    On several devices the numbers are those of one, up to the order of additions. Raises
    `InputError` when there are fewer devices in this process, or tasks cannot be divided equally.
    """
    if num_devices == 1:
        return Programs(jax.jit(estimator.init), jax.jit(estimator.estimate, donate_argnums=1))
    check_divides(estimator.num_tasks, num_devices)
    mesh = _mesh(num_devices)
    divided, whole = (NamedSharding(mesh, spec) for spec in (PartitionSpec(TASKS), PartitionSpec()))
    init = jax.jit(_within(mesh, estimator.init), in_shardings=whole, out_shardings=divided)
    estimate = jax.jit(
        _within(mesh, estimator.estimate),
        in_shardings=(whole, divided, whole, whole, whole),
        out_shardings=(whole, divided),
        donate_argnums=1,
    )
    return Programs(init, estimate)


def on_each(data: Dataset, num_devices: int) -> Dataset:
    """`data` where `programs` takes them from; else they would be sent there at each estimate."""
    if num_devices == 1:
        return data
    return jax.device_put(data, NamedSharding(_mesh(num_devices), PartitionSpec()))


def check_divides(num_tasks: int, num_devices: int) -> None:
    """Raises `InputError` unless every device gets as many tasks."""
    if num_tasks % num_devices:
        nearest = max(1, round(num_tasks / num_devices)) * num_devices
        raise InputError(
            f"num_tasks is {num_tasks}, which {num_devices} devices cannot divide equally; "
            f"use {nearest} tasks"
        )


@functools.cache
def _mesh(num_devices: int) -> Mesh:
    devices = jax.local_devices()
    if num_devices > len(devices):
        raise InputError(
            f"an estimate on {num_devices} devices, and this process has {len(devices)} "
            f"({devices[0].platform}); use at most as many"
        )
    return jax.make_mesh((num_devices,), (TASKS,), (AxisType.Auto,), devices=devices[:num_devices])


def _within(mesh: Mesh, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which finds the mesh while it is traced."""

    def traced(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return function(*arguments)

    return traced
