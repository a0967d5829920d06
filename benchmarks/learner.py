"""What the learner takes: estimates per second from many workers, and how stale they are.

    python benchmarks/learner.py [--seconds 20] [--json FILE]

Simulated workers are the pool's own side without processes (`workers.simulated`): the learner
unpacks, checks, averages and applies all that a thousand workers would send, on one core. Actors
are Ray's, which sleep for as long and send as much. An estimate takes a time with a log-normal
distribution, one worker in a hundred is ten times as slow. Asynchronous; an outer step waits for a
tenth of the workers; Adam.
"""

import pathlib
import time
from typing import Any

import sleepers
import tyro
from sleepers import Load

from workers import ray_cluster

ACTORS = 8  # that 24 GiB hold besides all else; each imports JAX

SIMULATED = (
    Load(1000, 10, 2.0),
    Load(1000, 10, 0.5),
    Load(1000, 10, 0.0),
    Load(1000, 1000, 10.0),
    Load(1000, 1000, 0.0),
    Load(10_000, 10, 20.0),
)
REAL = (
    Load(ACTORS, 10, 0.02),
    Load(ACTORS, 10, 0.0),
    Load(ACTORS, 1000, 0.0),
)


def main(seconds: float = 20.0, json: pathlib.Path | None = None) -> None:
    """Measures and reports."""
    with ray_cluster.ray_cluster("local", num_workers=ACTORS):  # before JAX
        import measure

        rows = [row(load, "simulated", seconds) for load in SIMULATED]
        rows += [row(load, "Ray", seconds) for load in REAL]
        measure.report("The learner on one core", rows, json)


def row(load: Load, transport: str, seconds: float) -> dict[str, Any]:
    """Trains for `seconds` and counts."""
    import numpy as np

    from metaopt.learner import Learner, meta_train
    from metaopt.outer_optimizer import OuterOptimizer

    learner = Learner(OuterOptimizer("adam"), num_steps=10**9)
    meta_params = {"weights": np.zeros(250 * load.kilobytes, np.float32)}
    ages: list[int] = []
    steps = 0
    began, began_cpu, end = 0.0, 0.0, float("inf")

    def on_step(done: Any) -> bool:
        nonlocal steps, began, began_cpu, end
        if not began:  # the first one compiles
            began, began_cpu = time.perf_counter(), time.process_time()
            end = began + seconds
            return False
        steps += 1
        ages.extend(done.state.step - 1 - result.outer_step for result in done.aggregate.used)
        return time.perf_counter() > end

    with pool_of(load, transport) as pool:
        meta_train(learner, learner.init(meta_params), pool, max_staleness=1000, on_step=on_step)
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return {
        "transport": transport,
        "workers": load.workers,
        "kilobytes": load.kilobytes,
        "seconds of an estimate": load.seconds,
        "estimates/s": len(ages) / wall,
        "outer steps/s": steps / wall,
        "staleness p50": int(np.percentile(ages, 50)),
        "staleness p99": int(np.percentile(ages, 99)),
        "share of a core": cpu / wall,
        "ms of learner per estimate": 1e3 * cpu / len(ages),
    }


def pool_of(load: Load, transport: str) -> Any:
    """The workers of a load."""
    from workers.ray_pool import RayPool

    options = {"asynchronous": True, "min_results": max(load.workers // 10, 1)}
    if transport == "Ray":
        return RayPool(sleepers.specs(load), **options)
    return sleepers.simulated(load, **options)


if __name__ == "__main__":
    tyro.cli(main)
