"""How fast a stream of sampled tasks goes: compile once, sample many.

    python benchmarks/task_stream.py [--json FILE]                  all families, two workers
    python benchmarks/task_stream.py --families mlp_family --exact  padded against exact, in turn

PersistentES on FactoredMLP, two tasks at once, truncation 20, five truncations of each sampled
task, data embedded. Every worker is a process of its own with one core. "cold" starts with an empty
cache of compiled programs; "steady", with `--before`, has trained so many other tasks before those
that are measured. "warm" starts with the cache that the former left, as long runs come to have all
programs of buckets. Without padding, sampled tasks share no programs: there is no warm run, and no
more than one task before.
"""

import dataclasses
import json as json_format
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Annotated, Any

import tyro

TRUNCATION = 20
ESTIMATES_PER_TASK = 5
TASKS_AT_ONCE = 2
WORKER_TIMEOUT = 3000.0


@dataclasses.dataclass(frozen=True)
class Stream:
    """What the workers train: tasks drawn from a mixture within limits."""

    families: tuple[str, ...] = ()  # none: all 12
    num_tasks: int = 60  # over all workers
    max_step_milliseconds: float = 5.0  # of an inner step of one run without padding, by estimate
    max_memory_megabytes: float = 100.0  # of one run without padding, by estimate
    max_batch_size: int = 64
    seed: int = 0
    before: int = 0  # other tasks that each worker trains before those that are measured


def main(
    stream: Annotated[Stream, tyro.conf.arg(name="")] = Stream(),
    workers: int = 2,
    exact: bool = False,  # also with a program for each structure
    warm: bool = True,  # padded ones also with the cache of the first run
    share: str = "",  # for the processes that this script starts: tasks before, and tasks
    json: pathlib.Path | None = None,
) -> None:
    """Measures and reports."""
    if share:
        print(json_format.dumps(run_worker(*json_format.loads(share))))
        return
    import measure

    from taskset import Mixture, catalog

    mixture = Mixture(
        stream.families,
        buckets="exact",  # the same tasks are within the limits, whatever the buckets are
        max_step_seconds=stream.max_step_milliseconds / 1e3,
        max_memory_bytes=int(stream.max_memory_megabytes * 1e6),
        max_batch_size=stream.max_batch_size,
    )
    start = time.perf_counter()
    first = 1000 * stream.seed
    count = stream.num_tasks + workers * stream.before
    own = [catalog.build(mixture.sample(first + index)) for index in range(count)]
    sampling = time.perf_counter() - start
    rows = []
    for buckets in ("padded", "exact") if exact else ("padded",):
        names = [catalog.name_of(catalog.with_buckets(family, buckets)) for family in own]
        names, others = names[: stream.num_tasks], names[stream.num_tasks :]
        others = others[: None if buckets == "padded" else workers * bool(stream.before)]
        states = ["steady" if others else "cold", *["warm"] * (warm and buckets == "padded")]
        with tempfile.TemporaryDirectory() as cache:
            for state in states:
                done = run(names, workers, cache, others if state == "steady" else ())
                rows.append({"buckets": buckets, "state": state, **done})
                print(rows[-1], file=sys.stderr)
    families = ", ".join(stream.families) or "all families"
    different = len(set(own[: stream.num_tasks]))
    title = (
        f"{stream.num_tasks} tasks of {families}, {different} different ones, {workers} workers, "
        f"each after {stream.before} others; drawn in {sampling:.0f} s"
    )
    measure.report(title, rows, json)


def run(names: list[str], workers: int, cache: str, others: Sequence[str]) -> dict[str, Any]:
    """Starts the workers, each with its share of the tasks, and adds up what they say.

    Each trains its share of the `others` first, which does not count.
    """
    environment = {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
        "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    }
    shares = [(others[index::workers], names[index::workers]) for index in range(workers)]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, "--share", json_format.dumps(share)],
            env=environment,
            stdout=subprocess.PIPE,
        )
        for share in shares
    ]
    outputs = [process.communicate(timeout=WORKER_TIMEOUT)[0] for process in processes]
    found = [json_format.loads(output.splitlines()[-1]) for output in outputs]
    total = {name: sum(part[name] for part in found) for name in found[0]}
    wall = max(part["seconds"] for part in found)
    return {
        "tasks per minute": 60 * len(names) / wall,
        "compile share": total["compile_seconds"] / total["seconds"],
        "programs": total["programs"],
        "live programs": max(part["live_programs"] for part in found),
        "peak GB of a worker": max(part["peak_bytes"] for part in found) / 1e9,
        "wall seconds": wall,
        "CPU seconds": total["cpu_seconds"],
        "non-finite runs": total["nonfinite_runs"],
    }


def run_worker(others: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """One worker: its share of the tasks, one after another, after those that do not count."""
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

    class Listed(TaskStream):
        """The tasks in their order."""

        def task(self, worker: int, round_number: int) -> str:
            return [*others, *names][round_number]

    optimizer = FactoredMLP()
    problem = OptimizerTraining(QuadraticFamily(), optimizer)
    horizon = Fixed(TRUNCATION * ESTIMATES_PER_TASK)
    estimator = PersistentES(problem, TASKS_AT_ONCE, TRUNCATION, horizon)
    tasks = Listed(Mixture(), estimator, problem, ESTIMATES_PER_TASK, seed=0)
    weights = Weights(0, optimizer.init(jax.random.key(0)), {})
    start, start_cpu = time.perf_counter(), 0.0
    worker = WorkerSpec(0, "stream", estimator, 0, tasks).build()
    for _ in range(len(others) * ESTIMATES_PER_TASK):
        worker.compute(weights)
    programs_before = worker_module.programs.cache_info().misses
    if others:
        start, start_cpu = time.perf_counter(), time.process_time()
    results = [worker.compute(weights) for _ in range(len(names) * ESTIMATES_PER_TASK)]
    programs = worker_module.programs.cache_info()
    return {
        "seconds": time.perf_counter() - start,
        "compile_seconds": sum(result.compile_seconds for result in results),
        "cpu_seconds": time.process_time() - start_cpu,
        "programs": programs.misses - programs_before,
        "live_programs": programs.currsize,
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "nonfinite_runs": sum(float(r.estimate.metrics["nonfinite_runs"]) for r in results),
    }


if __name__ == "__main__":
    tyro.cli(main)
