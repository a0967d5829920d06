"""How much faster two workers are than one.

    python benchmarks/scaling.py [--pool ray] [--rounds 20] [--json FILE]

PersistentES on FactoredMLP, 16 tasks, truncation 50, MLP 64-32-10, batch 128. A pool of one worker
and a pool of two stand side by side and take turns of one second, so both meet the same machine;
the ratio is that of the medians. Each worker has a core of its own, which it shares with whatever
of the learner and of Ray comes there. The machine must be idle: what else runs takes from two
workers what it leaves to one. The load average at the end says whether it was, 2 to 3 is this
benchmark itself.
"""

import contextlib
import os
import pathlib
import statistics
import time
from typing import Any, Literal

import tyro

from workers import ray_cluster

SECONDS_A_TURN = 1.0


def main(
    pool: Literal["process", "ray"] = "ray",
    rounds: int = 20,
    json: pathlib.Path | None = None,
) -> None:
    """Measures and reports."""
    if pool == "process":
        return compare(pool, rounds, json)
    with ray_cluster.ray_cluster("local", num_workers=3):  # before JAX
        compare(pool, rounds, json)


def compare(pool: str, rounds: int, path: pathlib.Path | None) -> None:
    """Inner steps per second of pools of one and of two workers."""
    import jax
    import measure

    from metaopt.aggregate import Weights
    from metaopt.estimators import PersistentES
    from metaopt.inner_problem import OptimizerTraining
    from metaopt.learned_optimizers import FactoredMLP
    from taskset import MLPFamily
    from workers.local import ProcessPool
    from workers.ray_pool import RayPool
    from workers.worker import WorkerSpec

    problem = OptimizerTraining(MLPFamily(batch_size=128), FactoredMLP())
    estimator = PersistentES(problem, num_tasks=16, truncation=50)
    meta_params = jax.device_get(FactoredMLP().init(jax.random.key(0)))
    weights = Weights(0, meta_params, {})
    make = {"process": ProcessPool, "ray": RayPool}[pool]
    specs = [WorkerSpec(index, "digits", estimator, 0) for index in range(2)]
    rates: dict[int, list[float]] = {1: [], 2: []}
    with make(specs[:1]) as one, make(specs) as two:
        pools = {1: one, 2: two}
        for each in pools.values():  # compile
            each.broadcast(weights)
            each.collect()
            pin(each)
        for _ in range(rounds):
            for number, each in pools.items():
                start, estimates = time.perf_counter(), 0
                while time.perf_counter() - start < SECONDS_A_TURN:
                    each.broadcast(weights)
                    estimates += len(each.collect())
                elapsed = time.perf_counter() - start
                rates[number].append(estimates * estimator.inner_steps / elapsed)
    medians = {number: statistics.median(values) for number, values in rates.items()}
    rows = [
        {
            "pool": pool,
            "workers": number,
            "steps/s": round(median),
            "ratio": median / medians[1],
            "of linear": median / medians[1] / number,
            "load": os.getloadavg()[0],
        }
        for number, median in medians.items()
    ]
    measure.report(f"Workers, {rounds} turns each", rows, path)


def pin(pool: Any) -> None:
    """Gives each worker of a pool a core, with all threads of its process."""
    cores = sorted(os.sched_getaffinity(0))
    for worker, pid in pool.pids.items():
        for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(int(thread.name), {cores[worker % len(cores)]})


if __name__ == "__main__":
    tyro.cli(main)
