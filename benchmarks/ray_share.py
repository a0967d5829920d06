"""What Ray takes of an outer step.

    python benchmarks/ray_share.py [--rounds 20] [--json FILE]

Two workers that do nothing but wait, for exactly the time of an estimate, in a synchronous pool;
Adam. Three pools stand side by side and take turns of a second in one process, so all meet the same
machine; figures are medians of outer steps. *Simulated* workers need no process and no message:
what a step takes beyond the estimate is the pool and the learner, the `overhead` that any transport
has. `transport` is what a step takes more with workers in processes, over pipes or over Ray, as a
share of that step: for the weights to come to the workers and for the results to come back, with
all that is done there to read and to write them. That of Ray is Ray's share. `CPU ms` is what a
step takes of the learner's process, all threads.
"""

import contextlib
import itertools
import pathlib
import statistics
import time
from typing import Any

import sleepers
import tyro
from sleepers import Load

from workers import ray_cluster

SECONDS_A_TURN = 1.0
LOADS = [
    Load(2, kilobytes, seconds, spread=0.0) for kilobytes in (10, 1000) for seconds in (0.1, 0.3)
]


def main(rounds: int = 20, json: pathlib.Path | None = None) -> None:
    """Measures and reports."""
    with ray_cluster.ray_cluster("local", num_workers=2):  # before JAX
        import measure

        rows = [row for load in LOADS for row in compare(load, rounds)]
        measure.report(f"What Ray takes of an outer step, {rounds} turns each", rows, json)


def compare(load: Load, rounds: int) -> list[dict[str, Any]]:
    """One row for each transport."""
    from workers.local import ProcessPool
    from workers.ray_pool import RayPool

    with contextlib.ExitStack() as stack:
        runs = {
            "simulated": Run(stack.enter_context(sleepers.simulated(load)), load),
            "processes": Run(stack.enter_context(ProcessPool(sleepers.specs(load))), load),
            "Ray": Run(stack.enter_context(RayPool(sleepers.specs(load))), load),
        }
        for _ in range(rounds):
            for run in runs.values():
                run.take_turn()
    base = statistics.median(runs["simulated"].seconds)
    return [run.row(name, base) for name, run in runs.items()]


class Run:
    """Outer steps with one pool, and how long they took."""

    def __init__(self, pool: Any, load: Load):
        import numpy as np

        from metaopt.learner import Learner
        from metaopt.outer_optimizer import OuterOptimizer

        self.seconds: list[float] = []
        self._cpu_seconds: list[float] = []
        self._pool, self._load = pool, load
        self._learner = Learner(OuterOptimizer("adam"), num_steps=10**9)
        meta_params = {"weights": np.zeros(250 * load.kilobytes, np.float32)}
        self._state = self._learner.init(meta_params)

    def take_turn(self) -> None:
        """Trains for a second; its first step, for which workers may have to start, is not kept."""
        from metaopt.learner import meta_train

        times: list[tuple[float, float]] = []

        def on_step(done: Any) -> bool:
            del done
            times.append((time.perf_counter(), time.process_time()))
            return times[-1][0] - times[0][0] > SECONDS_A_TURN

        self._state = meta_train(self._learner, self._state, self._pool, on_step=on_step)
        for (wall, cpu), (next_wall, next_cpu) in itertools.pairwise(times):
            self.seconds.append(next_wall - wall)
            self._cpu_seconds.append(next_cpu - cpu)

    def row(self, transport: str, base: float) -> dict[str, Any]:
        """What was measured; `base` is what a step takes without any transport."""
        step = statistics.median(self.seconds)
        return {
            "workers": transport,
            "kilobytes": self._load.kilobytes,
            "seconds of an estimate": self._load.seconds,
            "ms of a step": 1e3 * step,
            "overhead": 1 - self._load.seconds / base if transport == "simulated" else "",
            "transport": 1 - base / step if transport != "simulated" else "",
            "CPU ms": 1e3 * statistics.median(self._cpu_seconds),
        }


if __name__ == "__main__":
    tyro.cli(main)
