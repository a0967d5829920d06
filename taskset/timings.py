"""How long an inner step takes on this machine: measured and kept on disk, or estimated.

A task that was never timed gets an estimate from its operations and bytes, corrected by what the
timed tasks of its family needed more or less than theirs.
"""

import contextlib
import hashlib
import json
import pathlib
import platform
import statistics
import time
from typing import Any

import jax

from taskset import catalog, costs, whole_files
from taskset.base import TaskFamily
from taskset.cores import num_cores
from taskset.data import store
from taskset.errors import InputError

# Of one CPU core of 2020, for machines on which nothing was timed yet.
FLOPS_PER_SECOND = 2e10
BYTES_PER_SECOND = 4e9
STEP_SECONDS = 2e-5  # that every step takes
MEASURED_SECONDS = 0.5  # spent on timing a task, after compiling
REPEATS = 3
ENOUGH = 3  # timed tasks of a family, to correct its estimates
LEARNING_RATE = 1e-3  # of the gradient descent that is timed


def measure(name: str) -> float:
    """Seconds of an inner step of a task, by running it; keeps them in the table.

    A step draws a minibatch, and takes a step of gradient descent. Raises `InputError` as
    `catalog.build` does, and when the table cannot be written.
    """
    seconds = measure_family(catalog.build(name))
    _write({**table(), name: seconds})
    return seconds


def seconds(name: str) -> float:
    """Seconds of an inner step of a task: those in the table, or an estimate."""
    known = table()
    return known[name] if name in known else estimate(name)


def estimate(name: str) -> float:
    """Seconds of an inner step of a task as if it had never been timed.

    Raises `InputError` as `catalog.build` does.
    """
    others = {other: measured for other, measured in table().items() if other != name}
    return _raw_estimate(name) * _correction(name, others)


def table() -> dict[str, float]:
    """The measured seconds of a step on this kind of machine, by name of the task."""
    path = path_of_table()
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(path.read_text())["seconds"]
        return {str(name): float(value) for name, value in known.items()}
    return {}


def path_of_table() -> pathlib.Path:
    """Where the table of this kind of machine lies: it depends on processor, cores and device."""
    device = jax.devices()[0]
    machine = [
        platform.machine(),
        platform.processor(),
        num_cores(),
        device.platform,
        device.device_kind,
    ]
    digest = hashlib.sha256(json.dumps(machine).encode()).hexdigest()
    return store.root() / "timings" / f"{device.platform}-{digest[:12]}.json"


def _raw_estimate(name: str) -> float:
    cost = costs.estimate(catalog.build(name))
    return STEP_SECONDS + cost.flops / FLOPS_PER_SECOND + cost.traffic_bytes / BYTES_PER_SECOND / 4


def _correction(name: str, known: dict[str, float]) -> float:
    """The median of measured over estimated seconds, over timed tasks of the same family."""
    family = _family(name)
    timed = [other for other in known if _family(other) == family][:20]
    if len(timed) < ENOUGH:
        return 1.0
    return statistics.median(known[other] / _raw_estimate(other) for other in timed)


def _family(name: str) -> str:
    return name.partition(":")[0].rpartition("_seed")[0] or name.partition(":")[0]


def measure_family(family: TaskFamily) -> float:
    """Seconds of an inner step of tasks of any family, by running it; keeps nothing."""
    data, key = family.load_data(), jax.random.key(0)
    program = family.program()
    task = program.sample(data, key)

    @jax.jit
    def train(task: Any, params: Any, data: Any, keys: jax.Array) -> Any:
        def step(params: Any, key: jax.Array) -> tuple[Any, None]:
            batch = data.sample("train", key, family.batch_size)
            grads = jax.grad(task.loss)(params, batch, key)
            return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, params, grads), None

        return jax.lax.scan(step, params, keys)[0]

    params = task.init(key)
    run = lambda steps: jax.block_until_ready(
        train(task, params, data, jax.random.split(key, steps))
    )
    run(1)
    steps = max(1, min(200, int(MEASURED_SECONDS / REPEATS / max(_timed(run, 1), 1e-6))))
    run(steps)
    return statistics.median(_timed(run, steps) for _ in range(REPEATS)) / steps


def _timed(run: Any, steps: int) -> float:
    start = time.perf_counter()
    run(steps)
    return time.perf_counter() - start


def _write(known: dict[str, float]) -> None:
    """Replaces the table; two that measure at once may lose one's entry."""
    path = path_of_table()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"format": 1, "seconds": known}, indent=1, sort_keys=True)
        whole_files.replace(path, content.encode())
    except OSError as error:
        raise InputError(
            f"cannot write timings to {path}: {error.strerror}; set METAOPT_DATA_DIR to a folder "
            "that can be written"
        ) from error
