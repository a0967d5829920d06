"""Workers that only wait, so that what a step takes is the learner and what carries messages."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any, NamedTuple


class Load(NamedTuple):
    """How many workers there are, and what each of them sends how often."""

    workers: int
    kilobytes: int  # of a message
    seconds: float  # typical, of an estimate
    spread: float = 0.3  # of the logarithm of the seconds


def specs(load: Load) -> list[Any]:
    """The workers of a load, for any pool."""
    return [Sleeper(index, load) for index in range(load.workers)]


def durations(index: int, load: Load) -> Iterator[float]:
    """How long the estimates of a worker take."""
    import numpy as np

    random = np.random.default_rng(index)
    slowness = 10.0 if index % 100 == 99 else 1.0
    while True:
        yield load.seconds * slowness * random.lognormal(sigma=load.spread)


def simulated(load: Load, **options: Any) -> Any:
    """The workers of a load in a pool without processes."""
    from workers import wire
    from workers.simulated import Reply, SimulatedPool, result_for

    packed = wire.pack(result_of(0, load))
    waits = [durations(index, load) for index in range(load.workers)]

    def behaviour(worker: int, outer_step: int) -> Reply:
        seconds = next(waits[worker])
        return Reply(seconds, result_for(packed, worker, outer_step, seconds))

    return SimulatedPool(specs(load), behaviour, **options)


def result_of(worker: int, load: Load) -> Any:
    """A result as large as those of `load`."""
    import numpy as np

    from metaopt.aggregate import WorkerResult
    from metaopt.estimators.base import Estimate

    gradient = np.full(250 * load.kilobytes, 1e-3, np.float32)
    one = np.float32(1.0)
    estimate = Estimate({"weights": gradient}, one, one, {"nonfinite_runs": np.float32(0.0)})
    return WorkerResult(worker, "sleep", 0, estimate, 0.0)


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
        self._result = result_of(spec.index, spec.load)

    def compute(self, weights: Any) -> Any:
        """A result, after a while."""
        seconds = next(self._waits)
        time.sleep(seconds)
        return self._result._replace(outer_step=weights.outer_step, seconds=seconds)
