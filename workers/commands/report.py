"""`metaopt report`: the page of an evaluation, from its evaluation.json."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import tyro

from taskset.errors import InputError

FILE = "evaluation.json"


@dataclasses.dataclass(frozen=True)
class Report:
    """Writes report.html from an evaluation.json of `metaopt evaluate --suite`.

    One file that needs no network and no script. The numbers of its figures lie beside it, in
    report_figures, as CSV, JSON and LaTeX.
    """

    path: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="EVALUATION")]
    out: Path | None = None  # folder; by default that of the evaluation

    def run(self) -> int:
        """Prints where the report is; returns 0."""
        from metaopt import evaluation_report

        file = self.path / FILE if self.path.is_dir() else self.path
        written = evaluation_report.write(read(file), self.out or file.parent)
        print(f"wrote {written[0]}, and {len(written) - 1} files of its figures")
        return 0


def read(path: Path) -> dict[str, Any]:
    """The evaluation in a file. Raises `InputError` when it holds none."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give an {FILE}") from error
    except ValueError as error:
        raise InputError(f"{path} is damaged: it is no JSON; evaluate again") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is no evaluation; give an {FILE}")
    return found
