"""What is known of runs of meta-training, and in what they differ."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from metaopt.pages.table import Cell, Table
from metaopt.protocols import speed_up

COLUMNS = (
    "run",
    "outer steps",
    "meta-loss at the end",
    "least meta-loss",
    "hours",
    "inner steps",
    "inner steps per second",
)
TAIL = 0.1  # of the outer steps, for the meta-loss at the end
# Configurations that differ here have meta-losses of different things.
DECIDE_TASKS = ("tasks", "mixture")
DECIDE_OBJECTIVE = ("normalization", "objective", "horizon", "problem")


@dataclasses.dataclass(frozen=True)
class MetaTraining:
    """A run, as its folder has it."""

    name: str
    config: Mapping[str, Any]  # of config.toml
    records: Sequence[Mapping[str, Any]]  # of metrics.jsonl, one an outer step
    evaluations: Sequence[Mapping[str, Any]] = ()  # each an evaluation.json

    def column(self, key: str) -> np.ndarray:
        """A number of every record, [num_records]; NaN where one has none."""
        # JSON has no word for what is not finite: the records have strings, which float() reads.
        return np.asarray([float(record.get(key, np.nan)) for record in self.records])

    @property
    def steps(self) -> np.ndarray:
        """Outer steps done, [num_records]."""
        return self.column("step")

    @property
    def hours(self) -> np.ndarray:
        """Hours of work up to each outer step, without those between two sittings."""
        return np.cumsum(np.nan_to_num(self.column("seconds"))) / 3600

    @property
    def inner_steps(self) -> np.ndarray:
        """Inner steps up to each outer step."""
        done = self.column("seconds") * self.column("inner_steps_per_second")
        return np.cumsum(np.nan_to_num(done))

    @property
    def smoothed(self) -> np.ndarray:
        """The exponential average of the finite meta-losses, [num_records]."""
        return smoothed(self.column("meta_loss"))


def smoothed(losses: np.ndarray) -> np.ndarray:
    """The exponential average of what is finite of `losses`, [num_records]; else NaN."""
    finite = np.isfinite(losses)
    found = np.full(losses.shape, np.nan)
    if np.any(finite):
        found[finite] = speed_up.smoothed(losses[finite])
    return found


def table(runs: Sequence[MetaTraining]) -> Table:
    """A row for each run."""
    return Table("Runs", COLUMNS, tuple(_row(run) for run in runs))


def _row(run: MetaTraining) -> tuple[Cell, ...]:
    if not run.records:
        return (run.name, 0, *[None] * (len(COLUMNS) - 2))
    last = run.column("meta_loss")[-max(1, round(TAIL * len(run.records))) :]
    finite, average = last[np.isfinite(last)], run.smoothed
    average = average[np.isfinite(average)]
    inner_steps, hours = float(run.inner_steps[-1]), float(run.hours[-1])
    return (
        run.name,
        int(run.steps[-1]),
        float(np.mean(finite)) if finite.size else None,
        float(np.min(average)) if average.size else None,
        hours,
        round(inner_steps),
        inner_steps / (3600 * hours) if hours > 0 else None,
    )


def differences(runs: Sequence[MetaTraining]) -> Table:
    """The keys of the configurations that differ: a row for each, a column for each run."""
    flat = [dict(_flat(run.config)) for run in runs]
    keys = dict.fromkeys(key for config in flat for key in config)
    rows = tuple(
        (key, *(config.get(key, "") for config in flat))
        for key in keys
        if len({config.get(key) for config in flat}) > 1
    )
    return Table("What differs", ("key", *(run.name for run in runs)), rows)


def notes(runs: Sequence[MetaTraining]) -> list[str]:
    """Why meta-losses of the runs cannot be compared as they are; none where they can."""
    keys = [str(row[0]) for row in differences(runs).rows]
    of = lambda names: [key for key in keys if set(key.split(".")) & set(names)]
    found = []
    if tasks := of(DECIDE_TASKS):
        found.append(
            f"The runs trained different tasks ({', '.join(tasks)}): a lower meta-loss may be an "
            "easier task. Compare evaluations over one suite."
        )
    if objective := of(DECIDE_OBJECTIVE):
        found.append(
            f"The runs trained different objectives ({', '.join(objective)}): their meta-losses "
            "are on different scales."
        )
    return found


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            several = isinstance(value, list)
            yield f"{prefix}{key}", ", ".join(map(str, value)) if several else str(value)
