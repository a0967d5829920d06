"""The report of an evaluation: one HTML file, and its numbers as CSV, JSON and LaTeX beside it.

data        the evaluation as arrays
measures    the protocols on them
headline, training_curves, profiles, speed_ups, families, transfer, horizon, costs, failed, tasks,
methods     one part of the page each
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaopt.evaluation_report import (
    costs,
    data,
    failed,
    families,
    headline,
    horizon,
    measures,
    methods,
    profiles,
    speed_ups,
    tasks,
    training_curves,
    transfer,
)
from metaopt.evaluation_report.data import Evaluated
from metaopt.evaluation_report.measures import Standing
from metaopt.pages.page import Page, Section

REPORT = "report.html"


def write(evaluation: Mapping[str, Any], folder: Path) -> list[Path]:
    """Writes `report.html` into `folder`, and the folder `report_figures` beside it.

    Returns the paths of all files, that of the report first. Raises `InputError` when `evaluation`
    is none of format 2, or when a file cannot be written.
    """
    return page(data.read(evaluation)).write(folder / REPORT)


def page(evaluated: Evaluated) -> Page:
    """The whole report; without scores where no task can be judged, as without baselines."""
    standings = measures.standings(evaluated) if measures.judged(evaluated) else []
    sections = (
        *_judgements(evaluated, standings),
        costs.section(evaluated),
        failed.section(evaluated),
        tasks.section(evaluated),
        methods.section(evaluated),
    )
    return Page(
        title=evaluated.optimizers[0].name,
        kicker="Evaluation report",
        lead=headline.lead(evaluated, standings),
        sections=tuple(section for section in sections if section is not None),
    )


def _judgements(evaluated: Evaluated, standings: list[Standing]) -> tuple[Section | None, ...]:
    """What rests on losses of different tasks, and the curves."""
    if not standings:
        return (training_curves.section(evaluated),)
    rival = headline.best_other(standings)
    others = [one.name for one in headline.ranked(standings) if one.name != evaluated.names[0]]
    return (
        headline.section(evaluated, standings),
        training_curves.section(evaluated),
        profiles.section(evaluated),
        speed_ups.section(evaluated, rival.name if rival else None),
        families.section(evaluated),
        transfer.split_section(evaluated),
        transfer.scale_section(evaluated, [evaluated.names[0], *others][: transfer.NUM_DRAWN]),
        horizon.section(evaluated),
    )
