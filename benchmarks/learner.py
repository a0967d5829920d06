"""What the learner takes: estimates per second from many workers, and how stale they are.

    python benchmarks/learner.py [--seconds 20] [--json FILE]

Simulated workers are the pool's own side without processes (`workers.simulated`): the learner
unpacks, checks, averages and applies all that a thousand workers would send, on one core. Actors
are Ray's, which sleep for as long and send as much. An estimate takes a time with a log-normal
distribution, one worker in a hundred is ten times as slow. Asynchronous; an outer step waits for a
tenth of the workers; Adam. Where it is synchronous, *overhead* is the share of an outer step that
is not the estimate.
"""

import dataclasses
import pathlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import tyro

from workers import ray_cluster

SPREAD = 0.3  # of the logarithm of the seconds of an estimate
ACTORS = 8  # that 24 GiB hold besides all else; each imports JAX


class Load(NamedTuple):
    """What one row is about."""

    workers: int
    kilobytes: int  # of a message
    seconds: float  # typical, of an estimate
    synchronous: bool = False  # and then every estimate takes that very time


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
    Load(2, 10, 0.1, synchronous=True),
    Load(2, 1000, 0.1, synchronous=True),
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
        "overhead": 1 - load.seconds * steps / wall if load.synchronous else "",
    }


def pool_of(load: Load, transport: str) -> Any:
    """The workers of a load."""
    from workers.ray_pool import RayPool
    from workers.simulated import Reply, SimulatedPool, result_for

    specs: list[Any] = [Sleeper(index, load) for index in range(load.workers)]
    wait = load.workers if load.synchronous else max(load.workers // 10, 1)
    if transport == "Ray":
        return RayPool(specs, asynchronous=not load.synchronous, min_results=wait)
    packed, waits = message(load), [durations(index, load) for index in range(load.workers)]

    def behaviour(worker: int, outer_step: int) -> Reply:
        seconds = next(waits[worker])
        return Reply(seconds, result_for(packed, worker, outer_step, seconds))

    return SimulatedPool(specs, behaviour, asynchronous=True, min_results=wait)


def durations(index: int, load: Load) -> Iterator[float]:
    """How long the estimates of a worker take."""
    import numpy as np

    random = np.random.default_rng(index)
    slowness = 10.0 if index % 100 == 99 else 1.0
    sigma = 0.0 if load.synchronous else SPREAD
    while True:
        yield load.seconds * slowness * random.lognormal(sigma=sigma)


def message(load: Load) -> Any:
    """A result, packed."""
    from workers import wire

    return wire.pack(result_of(0, load, 0, 0.0))


def result_of(worker: int, load: Load, outer_step: int, seconds: float) -> Any:
    """A result as large as those of `load`."""
    import numpy as np

    from metaopt.aggregate import WorkerResult
    from metaopt.estimators.base import Estimate

    gradient = np.full(250 * load.kilobytes, 1e-3, np.float32)
    one = np.float32(1.0)
    estimate = Estimate({"weights": gradient}, one, one, {"nonfinite_runs": np.float32(0.0)})
    return WorkerResult(worker, "sleep", outer_step, estimate, seconds)


@dataclasses.dataclass(frozen=True)
class Sleeper:
    """Stands for a `WorkerSpec` of a worker that only waits."""

    index: int
    load: Load
    task: str = "sleep"
    num_gpus: float = 0.0
    wire: str = "vector"

    def build(self, outer_step: int = 0) -> "Sleeping":
        """The worker."""
        del outer_step
        return Sleeping(self)


class Sleeping:
    """The worker of a `Sleeper`."""

    def __init__(self, spec: Sleeper):
        self.spec, self._waits = spec, durations(spec.index, spec.load)

    def compute(self, weights: Any) -> Any:
        """A result, after a while."""
        seconds = next(self._waits)
        time.sleep(seconds)
        return result_of(self.spec.index, self.spec.load, weights.outer_step, seconds)


if __name__ == "__main__":
    tyro.cli(main)
