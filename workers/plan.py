"""What a run is going to do and what that takes, before it does it."""

import time
from typing import Any, NamedTuple

import jax

from metaopt.estimators import devices
from metaopt.estimators.base import Context, GradientEstimator
from taskset import costs
from taskset.base import Dataset
from workers.base_config import BaseConfig, changed_fields
from workers.progress import duration


class Cost(NamedTuple):
    """What the estimate of one worker takes on this machine."""

    seconds: float  # wall time of a compiled estimate
    compile_seconds: float
    temporary_bytes: int  # by the compiler's own report


class Plan(NamedTuple):
    """What a run would do and take, all of it."""

    text: dict[str, str]  # by label
    num_steps: int  # outer steps
    workers: int
    seconds: float  # of the whole run, if workers have a core each
    core_hours: float
    worker_bytes: int  # that each worker holds, besides libraries


def check_tasks(config: BaseConfig) -> dict[str, int]:
    """The number of parameters of each task, by its name.

    Computes nothing and touches no device, so Ray can still be started. Raises `InputError` for a
    task whose data has to be downloaded first.
    """
    return {name: costs.num_parameters(family) for name, family in config.families().items()}


def describe(config: BaseConfig) -> dict[str, str]:
    """The plan as text, by label. Touches no device; raises what `check_tasks` raises."""
    workers, learner = config.workers, config.learner
    steps = config.inner_steps
    place = f" at {workers.address}" if workers.pool == "ray" else ""
    tasks = [f"{name}, {size:,} parameters" for name, size in check_tasks(config).items()]
    return {
        "tasks": "\n".join(tasks),
        **config.subject(),
        "estimator": changed_fields(config.estimator, "problem", "horizon"),
        "horizon": str(config.horizon),
        "learner": f"{learner.num_steps:,} outer steps, {changed_fields(learner.optimizer)}",
        "workers": f"{workers.number}, {workers.pool}{place}, {workers.mode}",
        "work": f"{steps:,} inner steps per outer step, {steps * learner.num_steps:,} in all",
    }


def complete(config: BaseConfig) -> Plan:
    """The whole plan; compiles and runs one estimate. Raises what `check_tasks` raises."""
    text = describe(config) | describe_memory(config)
    cost = measure(config)
    number, num_steps = config.workers.number, config.learner.num_steps
    seconds = cost.seconds * num_steps
    return Plan(
        text=text | describe_cost(config, cost),
        num_steps=num_steps,
        workers=number,
        seconds=seconds,
        core_hours=seconds * number / 3600,
        worker_bytes=_kept_bytes(config) + cost.temporary_bytes,
    )


def describe_memory(config: BaseConfig) -> dict[str, str]:
    """What a worker keeps, as text by label. Loads the data of the first task."""
    return {"memory": f"{_bytes(_kept_bytes(config))} of inner runs and data in each worker"}


def describe_cost(config: BaseConfig, cost: Cost) -> dict[str, str]:
    """What `measure` found, as text by label."""
    total = cost.seconds * config.learner.num_steps
    return {
        "temporary": f"{_bytes(cost.temporary_bytes)} during an estimate in each worker",
        "compilation": duration(cost.compile_seconds),
        "time": f"{cost.seconds:.3g} s per estimate, {duration(total)} in all if workers have a "
        "core each; validation and checkpoints come on top",
    }


def measure(config: BaseConfig) -> Cost:
    """Compiles the estimate of the first task, and runs it."""
    estimator, data, meta_params = _first_worker(config)
    key, context = jax.random.key(config.seed), Context()
    start = time.perf_counter()
    # As workers compile it, so that one finds in the compilation cache what the other left there.
    # This machine may have fewer devices than that of a worker.
    num_devices = config.workers.devices
    num_devices = num_devices if num_devices <= jax.local_device_count() else 1
    init, estimate = devices.programs(estimator, num_devices)
    state = init(meta_params, data, key, context)
    program = estimate.lower(meta_params, state, data, key, context).compile()
    _, state = jax.block_until_ready(program(meta_params, state, data, key, context))
    compiled = time.perf_counter()
    jax.block_until_ready(program(meta_params, state, data, key, context))
    seconds = time.perf_counter() - compiled
    analysis = program.memory_analysis()
    return Cost(seconds, compiled - start, analysis.temp_size_in_bytes if analysis else 0)


def _kept_bytes(config: BaseConfig) -> int:
    """Of the inner runs and the data of a worker."""
    estimator, data, meta_params = _first_worker(config)
    state = jax.eval_shape(estimator.init, meta_params, data, jax.random.key(0))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves((state, data)))


def _first_worker(config: BaseConfig) -> tuple[GradientEstimator, Dataset, Any]:
    name = config.assignment[0]
    meta_params = config.first_meta_params(jax.random.key(config.seed))
    return config.estimators()[name], config.families()[name].load_data(), meta_params


def _bytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size > 1e5 else f"{size / 1e3:,.1f} kB"
