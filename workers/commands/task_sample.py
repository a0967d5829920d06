"""`metaopt tasks sample`: tasks drawn from a mixture, on the screen and in a file."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from taskset.errors import InputError
from taskset.mixture import Mixture
from workers.commands import task_facts, task_file
from workers.commands.table import print_records


@dataclasses.dataclass(frozen=True)
class Families(Mixture):
    """A mixture whose components are called families on the command line."""

    # or tasks by name; "mlp_family*3" is drawn three times as often; by default all 12
    components: Annotated[tuple[str, ...], tyro.conf.arg(name="families")] = ()


@dataclasses.dataclass(frozen=True)
class TasksSample:
    """Draws tasks from a mixture of families."""

    mixture: Annotated[Families, tyro.conf.arg(name="")] = Families()
    n: int = 10  # tasks
    seed: int = 0  # of the first; the next has the next
    out: Path | None = None  # the file of tasks to write, .json
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per task; writes the file once all of them are drawn."""
        if self.n < 1:
            raise InputError(f"--n is {self.n}; it must be at least 1")
        if not 0 <= self.seed <= 2**32 - self.n:
            raise InputError(
                f"--seed is {self.seed}; it must be at least 0 and, with --n {self.n}, at most "
                f"{2**32 - self.n}"
            )
        if self.out is not None and self.out.suffix != ".json":
            raise InputError(f"--out is {self.out}; it must end in .json")
        names = [self.mixture.sample(self.seed + index) for index in range(self.n)]
        tasks = [task_facts.summary(name) for name in names]
        shown = [task | {"fingerprint": (task["fingerprint"] or "-")[:16]} for task in tasks]
        print_records(shown, self.json)
        if self.out is not None:
            task_file.write(self.out, self.mixture, tasks)
        return 0
