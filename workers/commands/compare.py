"""`metaopt compare`: runs of meta-training laid over one another."""

import dataclasses
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import tyro

from taskset.errors import InputError
from workers.commands.table import print_records

# JAX is imported by `run`, not before: help is instant.


@dataclasses.dataclass(frozen=True)
class Compare:
    """Lays runs over one another, by what is in their folders, whether they are done or not.

    Prints a table of the runs and the keys of their configurations that differ. Writes
    comparison.html, one file that needs no network and no script, with their meta-loss over outer
    steps, inner steps and hours, and with their evaluations over suites where they have some.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    out: Path = Path("comparison")  # folder of the page
    json: bool = False  # print JSON

    def run(self) -> int:
        """Returns 0."""
        from metaopt import run_comparison
        from metaopt.run_comparison import runs

        if not self.runs:
            raise InputError("no runs; name at least one")
        found = [self._read(path) for path in self.runs]
        written = run_comparison.write(found, self.out)
        table, different = runs.table(found), runs.differences(found)
        notes = runs.notes(found)
        records = {"runs": _records(table), "differences": _records(different), "notes": notes}
        if self.json:
            print(json.dumps(records | {"page": str(written[0])}, indent=2))
            return 0
        print_records(records["runs"])
        if different.rows:
            print()
            print_records(records["differences"])
        print("", *(f"Note: {note}" for note in notes), f"wrote {written[0]}", sep="\n")
        return 0

    def _read(self, path: Path) -> Any:
        from metaopt import telemetry
        from metaopt.run_comparison.runs import MetaTraining
        from workers import run_folder
        from workers.commands.report import FILE, read

        folder = run_folder.open_existing(path)
        try:
            config = tomllib.loads(folder.config.read_text(encoding="utf-8"))
            records = telemetry.read(folder.metrics)
        except (OSError, ValueError) as error:
            raise InputError(f"run {path} is damaged: {error}; leave it out") from error
        evaluations = [read(file) for file in sorted(path.glob(f"evaluation/**/{FILE}"))]
        return MetaTraining(self._name(path), config, records, evaluations)

    def _name(self, path: Path) -> str:
        """The name of the folder; the whole path where runs would share it."""
        same = sum(other.resolve().name == path.resolve().name for other in self.runs)
        return path.resolve().name if same == 1 else str(path)


def _records(table: Any) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]
