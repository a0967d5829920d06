"""How often nominally 95 % intervals of scores hold the truth, on noise of which it is known.

    python benchmarks/interval_coverage.py [--repetitions 1500] [--json FILE]

Runs are a shift of the task plus noise: `normal`; `uneven`, normal with deviations from .2 to 3
across tasks, in equal ratios; or `skewed`, exponential. The truth is that of 100,000 runs a task.
Of one task the mean is taken, as for a comparison by seeds.
"""

import dataclasses
import pathlib
from typing import Annotated, Any

import measure
import numpy as np
import tyro

from metaopt.bootstrap import stratified
from metaopt.protocols.robust_aggregates import (
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
)

NUM_RESAMPLES = 2000  # as in reports
MANY_RUNS = 100_000
SEEDS = (3, 5, 8, 16)


def mean(scores: np.ndarray) -> np.ndarray:
    """Over tasks and runs."""
    return np.mean(scores, axis=(-2, -1))


STATISTICS = {
    "interquartile mean": interquartile_mean,
    "optimality gap": optimality_gap,
    "probability of improvement": probability_of_improvement,
    "mean": mean,
}


@dataclasses.dataclass(frozen=True)
class Shape:
    """What is simulated."""

    statistic: str
    noise: str
    num_tasks: int

    def scores(self, random: np.random.Generator, num_runs: int) -> np.ndarray:
        """Runs of all tasks, [num_tasks, num_runs]."""
        size = (self.num_tasks, num_runs)
        shift = np.linspace(-1, 1, self.num_tasks) if self.num_tasks > 1 else np.zeros(1)
        if self.noise == "skewed":
            noise = random.exponential(size=size) - 1
        else:
            noise = random.normal(size=size)
        if self.noise == "uneven":
            noise *= np.geomspace(0.2, 3, self.num_tasks)[:, None]
        return shift[:, None] + noise

    def arguments(self, random: np.random.Generator, num_runs: int) -> list[np.ndarray]:
        """What the statistic takes: one array, or those of two optimizers."""
        number = 2 if self.statistic == "probability of improvement" else 1
        return [self.scores(random, num_runs) for _ in range(number)]

    def truth(self) -> float:
        """The statistic of so many runs that noise is gone."""
        if self.statistic == "probability of improvement":
            return 0.5  # of two optimizers that are the same
        found = STATISTICS[self.statistic](self.scores(np.random.default_rng(1), MANY_RUNS))
        return float(found)


SHAPES = [
    *(Shape(name, "normal", 8) for name in list(STATISTICS)[:3]),
    *(Shape(name, "skewed", 8) for name in list(STATISTICS)[:3]),
    *(Shape(name, "uneven", 8) for name in list(STATISTICS)[:2]),
    Shape("interquartile mean", "normal", 20),
    Shape("mean", "normal", 1),
    Shape("mean", "skewed", 1),
]


def main(
    repetitions: int = 1500,
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Prints a row per shape: the share of intervals, in %, that hold the truth."""
    rows = []
    for shape in SHAPES:
        rows.append(row(shape, repetitions))
        print(rows[-1], flush=True)
    measure.report("Nominally 95 % intervals that hold the truth, %", rows, json)


def row(shape: Shape, repetitions: int) -> dict[str, Any]:
    """The row of one shape: expanded intervals, and plain percentiles after "plain"."""
    found: dict[str, Any] = dataclasses.asdict(shape) | {"repetitions": repetitions}
    for expanded, prefix in ((True, ""), (False, "plain ")):
        for num_runs in SEEDS:
            found[f"{prefix}{num_runs} seeds"] = covered(shape, num_runs, repetitions, expanded)
    return found


def covered(shape: Shape, num_runs: int, repetitions: int, expanded: bool) -> float:
    """The share of intervals that hold the truth, in %."""
    truth, random, hits = shape.truth(), np.random.default_rng(0), 0
    for _ in range(repetitions):
        low, high = stratified(
            STATISTICS[shape.statistic],
            *shape.arguments(random, num_runs),
            num_resamples=NUM_RESAMPLES,
            expanded=expanded,
        ).interval
        hits += low <= truth <= high
    return round(100 * hits / repetitions, 1)


if __name__ == "__main__":
    tyro.cli(main)
