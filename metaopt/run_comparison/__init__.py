"""Runs of meta-training laid over one another: a table, notes on what differs, and a page.

runs            what is known of a run, and of what differs between runs
meta_curves     meta-loss over outer steps, inner steps and hours
evaluations     what their evaluations over suites came to
"""

from collections.abc import Sequence
from pathlib import Path

from metaopt.pages import figure
from metaopt.pages.html import Html, element
from metaopt.pages.page import Page, Section
from metaopt.run_comparison import evaluations, meta_curves, runs
from metaopt.run_comparison.runs import MetaTraining

PAGE = "comparison.html"


def write(found: Sequence[MetaTraining], folder: Path) -> list[Path]:
    """Writes `comparison.html` into `folder`, and the files of its figures beside it.

    Returns all paths, that of the page first. Raises `InputError` when they cannot be written, or
    when an evaluation is none.
    """
    return page(found).write(folder / PAGE)


def page(found: Sequence[MetaTraining]) -> Page:
    """The whole comparison."""
    sections = (
        _runs(found),
        meta_curves.section(found),
        meta_curves.task_section(found),
        evaluations.section(found),
    )
    return Page(
        title=", ".join(run.name for run in found) if len(found) < 4 else f"{len(found)} runs",
        kicker="Comparison of runs",
        lead=_lead(found),
        sections=tuple(section for section in sections if section is not None),
    )


def _lead(found: Sequence[MetaTraining]) -> Html:
    notes = runs.notes(found) or ["The runs trained the same objective on the same tasks."]
    return Html("".join(element("p", note, class_="lead") for note in notes))


def _runs(found: Sequence[MetaTraining]) -> Section:
    table, different = runs.table(found), runs.differences(found)
    figures = [
        figure.of_table(
            "runs",
            table,
            "Meta-loss at the end: the mean over the last tenth of the outer steps. Least: of the "
            "smoothed meta-losses.",
        )
    ]
    if different.rows:
        said = "All keys of the configurations that are not the same."
        figures.append(figure.of_table("differences", different, said))
    return Section("runs", "Runs", figures=tuple(figures))
