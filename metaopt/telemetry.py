"""What a run reports of itself: one record for each outer step, written by any number of sinks.

A record is a tree of mappings with plain numbers and strings at the leaves. `metrics.jsonl` is the
truth; everything else can be made from it.
"""

import json
import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from metaopt.aggregate import Dropped, WorkerResult, weighted_mean
from metaopt.diagnostics import gradient_noise, squared_norm
from metaopt.learned_optimizers.base import MetaParams
from metaopt.learner import OuterStep
from taskset import whole_files
from taskset.errors import InputError

logger = logging.getLogger(__name__)

Record: TypeAlias = Mapping[str, Any]


class Sink(Protocol):
    """Where records go."""

    def write(self, record: Record) -> None:
        """Takes the record of one outer step; it has "step", the outer steps done."""
        ...

    def sync(self) -> None:
        """Forces to disk what was written; called before each checkpoint."""
        ...

    def close(self) -> None:
        """Syncs, and lets go of files."""
        ...


class JsonLines:
    """One JSON object per line, written at once: a killed run has all of its records.

    What a full disk does not take is kept, and written when it does.
    """

    def __init__(self, path: Path, after_step: int = 0):
        """Appends to `path`, from which the records after outer step `after_step` are dropped.

        So a run that goes on from a checkpoint has every outer step once. Raises `InputError` when
        a line of `path` is no record.
        """
        try:
            kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= after_step]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} has a line that is no record; move it away to go on without the old ones"
            ) from error
        whole_files.replace(path, "".join(kept).encode())
        self._file = path.open("ab", buffering=0)
        self._waiting = b""

    def write(self, record: Record) -> None:
        self._waiting += (json.dumps(_finite(record)) + "\n").encode()
        try:
            while self._waiting:
                self._waiting = self._waiting[self._file.write(self._waiting) :]
        except OSError as error:
            logger.warning("records wait: cannot write %s: %s", self._file.name, error.strerror)

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self.sync()
        self._file.close()


class TensorBoard:
    """The numbers of the records as TensorBoard scalars: "meta_loss", "tasks/NAME/meta_loss"."""

    def __init__(self, folder: Path, after_step: int = 0):
        import tensorboardX  # takes a second, which runs without it need not pay

        self._writer = tensorboardX.SummaryWriter(str(folder), purge_step=after_step + 1)

    def write(self, record: Record) -> None:
        for name, value in scalars(record):
            self._writer.add_scalar(name, value, record["step"])

    def sync(self) -> None:
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The records in a `metrics.jsonl`; none if it does not exist, and no half-written last one."""
    return [json.loads(line) for line in _whole_lines(path)]


def step_record(
    done: OuterStep, seconds: float, inner_steps: int, workers: Mapping[str, int]
) -> dict[str, Any]:
    """The record of an outer step that took `seconds` of wall time.

    `inner_steps` are those behind its usable results, `workers` are how many there are by state.
    """
    used, estimate = done.aggregate.used, done.aggregate.estimate
    assert estimate is not None  # or there would have been no outer step
    dropped = (*done.aggregate.dropped, *done.lost)
    explained = [result for result in (*used, *dropped) if result.explanation]
    age = [done.state.step - 1 - result.outer_step for result in used]
    return {
        "step": done.state.step,
        "meta_loss": float(estimate.meta_loss),
        "gradient_norm": global_norm(estimate.gradient),
        "gradient_noise": gradient_noise(estimate)._asdict(),
        "weight": float(estimate.weight),
        "nonfinite_runs": float(estimate.metrics["nonfinite_runs"]),
        "seconds": seconds,
        "compile_seconds": sum(r.compile_seconds for r in used),
        "compile_share": sum(r.compile_seconds for r in used) / sum(r.seconds for r in used),
        "inner_steps_per_second": inner_steps / seconds,
        "workers": dict(workers),
        "staleness": max(age),
        "used_by_staleness": {str(a): count for a, count in sorted(Counter(age).items())},
        "effective_staleness": _mean_age(age, used),
        "tasks": _by_task(used),
        "dropped": dict(Counter(loss.cause for loss in dropped)),
        "losses": [_of(loss, "cause", "worker", "task", "staleness") for loss in dropped],
        "explanations": [_of(result, "worker", "task", "explanation") for result in explained],
    }


def _of(result: WorkerResult | Dropped, *names: str) -> dict[str, Any]:
    return {name: getattr(result, name) for name in names}


def _mean_age(age: Sequence[int], used: Sequence[WorkerResult]) -> float:
    """Outer steps that the gradient is behind: the mean over the runs that it is the mean of."""
    weights = [float(result.estimate.weight) for result in used]
    return sum(w * a for w, a in zip(weights, age, strict=True)) / sum(weights)


def _by_task(used: tuple[WorkerResult, ...]) -> dict[str, Any]:
    """Meta-loss and non-finite runs of each task."""
    records = {}
    for task in dict.fromkeys(result.task for result in used):
        mean = weighted_mean([result.estimate for result in used if result.task == task])
        records[task] = {
            "meta_loss": float(mean.meta_loss),
            "nonfinite_runs": float(mean.metrics["nonfinite_runs"]),
        }
    return records


def scalars(record: Record, prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a record with the path to each, without "step"; lists are left out."""
    for key, value in record.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from scalars(value, f"{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield name, float(value)


def global_norm(tree: MetaParams) -> float:
    """The Euclidean norm of all leaves together, added up in float64."""
    return math.sqrt(squared_norm(tree))


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [line for line in lines if line.endswith("\n")]


def _finite(value: Any) -> Any:
    """`value` with strings for numbers that JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
