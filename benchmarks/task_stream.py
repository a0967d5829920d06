"""How fast a stream of sampled tasks goes: compile once, sample many.

    python benchmarks/task_stream.py [--json FILE]                  all families, two workers
    python benchmarks/task_stream.py --families mlp_family --exact  padded against exact, in turn

PersistentES on FactoredMLP, two tasks at once, truncation 20, five truncations of each sampled
task, data embedded. Every worker is a process of its own with one core. "cold" starts with an empty
cache of compiled programs, "warm" with the cache that the cold run left.
"""

import dataclasses
import json as json_format
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Annotated, Any

import tyro

TRUNCATION = 20
ESTIMATES_PER_TASK = 5
TASKS_AT_ONCE = 2
WORKER_TIMEOUT = 3000.0


@dataclasses.dataclass(frozen=True)
class Stream:
    """What the workers train."""

    families: tuple[str, ...] = ()  # none: all 12
    num_tasks: int = 60  # over all workers
    max_step_milliseconds: float = 20.0  # of an inner step of one run, by estimate
    max_memory_megabytes: float = 100.0  # of one run, by estimate
    seed: int = 0


def main(
    stream: Annotated[Stream, tyro.conf.arg(name="")] = Stream(),
    workers: int = 2,
    exact: bool = False,  # also with a program for each structure
    worker: str = "",  # for the processes that this script starts
    json: pathlib.Path | None = None,
) -> None:
    """Measures and reports."""
    if worker:
        index, buckets = worker.split("/")
        print(json_format.dumps(run_worker(stream, int(index), workers, buckets)))
        return
    import measure

    rows = []
    for buckets in ("padded", "exact") if exact else ("padded",):
        with tempfile.TemporaryDirectory() as cache:
            for state in ("cold", "warm"):
                row = {"buckets": buckets, "cache": state, **run(stream, workers, buckets, cache)}
                print(row, file=sys.stderr)
                rows.append(row)
    families = ", ".join(stream.families) or "all families"
    measure.report(f"{stream.num_tasks} tasks of {families}, {workers} workers", rows, json)


def run(stream: Stream, workers: int, buckets: str, cache: str) -> dict[str, Any]:
    """Starts the workers, and adds up what they say."""
    command = [sys.executable, __file__, *arguments(stream), "--workers", str(workers)]
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    }
    start = time.perf_counter()
    processes = [
        subprocess.Popen(
            [*command, "--worker", f"{index}/{buckets}"], env=environment, stdout=subprocess.PIPE
        )
        for index in range(workers)
    ]
    outputs = [process.communicate(timeout=WORKER_TIMEOUT)[0] for process in processes]
    wall = time.perf_counter() - start
    found = [json_format.loads(output.splitlines()[-1]) for output in outputs]
    total = {name: sum(part[name] for part in found) for name in found[0]}
    return {
        "tasks": total["tasks"],
        "tasks per minute": 60 * total["tasks"] / wall,
        "compile share": total["compile_seconds"] / total["seconds"],
        "programs": total["programs"],
        "live programs": max(part["live_programs"] for part in found),
        "peak GB of a worker": max(part["peak_bytes"] for part in found) / 1e9,
        "wall seconds": wall,
        "CPU seconds": total["cpu_seconds"],
        "non-finite runs": total["nonfinite_runs"],
    }


def arguments(stream: Stream) -> list[str]:
    """The flags that describe `stream`."""
    flags: list[str] = []
    for field in dataclasses.fields(stream):
        value = getattr(stream, field.name)
        if value != field.default:
            values = value if isinstance(value, tuple) else (value,)
            flags += [f"--{field.name.replace('_', '-')}", *map(str, values)]
    return flags


def run_worker(stream: Stream, index: int, workers: int, buckets: str) -> dict[str, Any]:
    """One worker: its share of the tasks, one after another."""
    import resource

    import jax

    from metaopt.aggregate import Weights
    from metaopt.estimators import PersistentES
    from metaopt.horizons import Fixed
    from metaopt.inner_problem import OptimizerTraining
    from metaopt.learned_optimizers import FactoredMLP
    from taskset import Mixture, QuadraticFamily
    from workers import worker as worker_module
    from workers.assignment import TaskStream
    from workers.worker import WorkerSpec

    optimizer = FactoredMLP()
    problem = OptimizerTraining(QuadraticFamily(), optimizer)
    horizon = Fixed(TRUNCATION * ESTIMATES_PER_TASK)
    estimator = PersistentES(problem, TASKS_AT_ONCE, TRUNCATION, horizon)
    mixture = Mixture(
        stream.families,
        buckets=buckets,
        max_step_seconds=stream.max_step_milliseconds / 1e3,
        max_memory_bytes=int(stream.max_memory_megabytes * 1e6),
    )
    tasks = TaskStream(mixture, estimator, problem, ESTIMATES_PER_TASK, stream.seed)
    weights = Weights(0, optimizer.init(jax.random.key(0)), {})
    spec = WorkerSpec(index, "stream", estimator, stream.seed, tasks)
    start = time.perf_counter()
    worker = spec.build()
    share = stream.num_tasks // workers
    results = [worker.compute(weights) for _ in range(share * ESTIMATES_PER_TASK)]
    programs = worker_module.programs.cache_info()
    return {
        "tasks": share,
        "seconds": time.perf_counter() - start,
        "compile_seconds": sum(result.compile_seconds for result in results),
        "cpu_seconds": time.process_time(),
        "programs": programs.misses,
        "live_programs": programs.currsize,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "nonfinite_runs": sum(float(r.estimate.metrics["nonfinite_runs"]) for r in results),
    }


if __name__ == "__main__":
    tyro.cli(main)
