"""Workers that take more memory than there is, once they are told to."""

import dataclasses
import resource
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil

from metaopt.aggregate import Weights, WorkerResult
from workers.worker import Worker, WorkerSpec

# hold   a gigabyte, and goes on
# limit  until its process may have no more, which Python says by `MemoryError`
# all    until somebody ends it, or it has 8 GB
Appetite = Literal["hold", "limit", "all"]

CHUNK = 2**28  # bytes
MOST_CHUNKS = 32


@dataclasses.dataclass(frozen=True)
class Hungry(WorkerSpec):
    """A worker that is fed in `folder`."""

    folder: Path = Path()

    def build(self, outer_step: int = 0) -> "HungryWorker":
        """The worker; it has no stream of tasks."""
        del outer_step
        return HungryWorker(self, self._meal)

    def feed(self, appetite: Appetite) -> None:
        """Says what to take before the next estimate, once."""
        self._meal.write_text(appetite)

    @property
    def _meal(self) -> Path:
        return self.folder / str(self.index)


class HungryWorker(Worker):
    """The worker of a `Hungry`."""

    def __init__(self, spec: WorkerSpec, meal: Path):
        super().__init__(spec)
        self._meal, self._held = meal, list[Any]()

    def compute(self, weights: Weights) -> WorkerResult:
        if self._meal.exists():
            appetite = self._meal.read_text()
            self._meal.unlink()
            self._take(appetite)
        return super().compute(weights)

    def _take(self, appetite: str) -> None:
        if appetite == "limit":
            most = psutil.Process().memory_info().vms + 4 * CHUNK
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for _ in range(4 if appetite == "hold" else MOST_CHUNKS):
            self._held.append(np.ones(CHUNK, np.int8))
