"""`metaopt tasks curves`: runs configurations of a search space on tasks, as TaskSet was made."""

import dataclasses
import re
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from metaopt.baselines import search_spaces, task_curves
from metaopt.baselines.task_curves import Protocol
from taskset import catalog
from taskset.base import TaskFamily
from taskset.errors import InputError, unknown_name
from workers.commands import task_file


@dataclasses.dataclass(frozen=True)
class TasksCurves:
    """Runs configurations of a search space on tasks, and writes their loss curves.

    They go to OUT/TASK/SPACE_STEPS_replicaREPLICAS.npz, in the layout of the release: `optimizers`
    names the configurations, `xs` are 51 steps, and `ys` [configurations, replicas, 51, 4] the
    losses of train, inner_valid, outer_valid and test. What is there is not computed again.
    """

    # names, or files of `metaopt tasks sample`
    tasks: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="TASKS")]
    out: Path
    space: str = "adam1p_wide_grid"
    configurations: str = "0:10"  # the first and the one after the last
    replicas: int = 5
    steps: int = 10_000

    def run(self) -> int:
        """Prints one line per file."""
        protocol = Protocol(self.steps, num_replicas=self.replicas)
        names = self._names()
        given = [name for given in self.tasks for name in task_file.names(given)]
        families = [catalog.build(name) for name in given]
        if not families:
            raise InputError("no tasks; name at least one")
        for family in families:
            self._one_task(family, names, protocol)
        return 0

    def _names(self) -> list[str]:
        if self.space not in search_spaces.names():
            raise unknown_name("search space", self.space, search_spaces.names())
        bounds = re.fullmatch(r"(\d{1,10}):(\d{1,10})", self.configurations)
        first, end = map(int, bounds.groups()) if bounds else (0, 0)
        if first >= end:
            raise InputError(
                f"--configurations is {self.configurations!r}; give the first and the one after "
                "the last, as 0:10"
            )
        return [f"{self.space}_seed{seed}" for seed in range(first, end)]

    def _one_task(self, family: TaskFamily, names: list[str], protocol: Protocol) -> None:
        task = catalog.name_of(family).replace("/", "-")
        file = f"{self.space}_{self.steps}_replica{self.replicas}.npz"
        path = self.out / task / file
        if path.exists():
            _check_same(path, names)
            print(f"{path} is there")
            return
        start = time.perf_counter()
        found = task_curves.compute(family, names, protocol)
        try:
            task_curves.write(path, found)
        except OSError as error:
            raise InputError(
                f"cannot write {path}: {error.strerror}; give another --out"
            ) from error
        print(f"{path} took {time.perf_counter() - start:.0f} s")


def _check_same(path: Path, names: list[str]) -> None:
    known = task_curves.read(path).optimizers
    if not np.array_equal(known, np.asarray(names, np.bytes_)):
        raise InputError(
            f"{path} holds {len(known)} other configurations, from {known[0].decode()}; give "
            "another --out, or remove it"
        )
