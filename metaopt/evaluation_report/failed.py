"""Everything that went wrong: runs that diverged, runs that got worse, tasks that could not run."""

from metaopt.evaluation_report.data import Evaluated
from metaopt.evaluation_report.measures import failures, has_scale
from metaopt.pages import figure
from metaopt.pages.page import Section
from metaopt.pages.table import Table
from metaopt.protocols import divergence


def section(evaluated: Evaluated) -> Section:
    """The counts, and the list."""
    return Section(
        "failures",
        "Failures",
        text=(
            "A run has diverged when a loss on its way or at its end is not finite. It stays in "
            "every number of this report, as the worst there is. So does a task that an "
            "optimizer could not be evaluated on.",
            *_without_scale(evaluated),
        ),
        figures=(
            figure.of_table("diverged", _counts(evaluated), "Over all tasks of the suite."),
            *_lists(evaluated),
        ),
    )


def _counts(evaluated: Evaluated) -> Table:
    rows = []
    for name in evaluated.names:
        all_of_it = divergence.total([found for _, found in failures(evaluated.tasks, name)])
        missing = sum(name not in task.results for task in evaluated.tasks)
        rows.append((name, *all_of_it, missing))
    columns = (
        "optimizer",
        "runs",
        "diverged",
        "ended above the initial loss",
        "tasks without result",
    )
    return Table("Runs that went wrong", columns, tuple(rows))


def _lists(evaluated: Evaluated) -> list[figure.Figure]:
    wrong = tuple(
        (task.name, name, found.diverged, found.worse_than_start, found.num_runs)
        for name in evaluated.names
        for task, found in failures(evaluated.tasks, name)
        if found.diverged or found.worse_than_start
    )
    errors = tuple(
        (str(f.get("task", "")), str(f.get("optimizer", "")), str(f.get("error", "")))
        for f in evaluated.failures
    )
    found = []
    if wrong:
        columns = ("task", "optimizer", "diverged", "ended above the initial loss", "runs")
        table = Table("Where runs went wrong", columns, wrong)
        found.append(figure.of_table("where_wrong", table, "By task and optimizer."))
    if errors:
        table = Table("What could not be evaluated", ("task", "optimizer", "error"), errors)
        found.append(figure.of_table("errors", table, "Each with the first line of its error."))
    return found


def _without_scale(evaluated: Evaluated) -> list[str]:
    names = [task.name for task in evaluated.tasks if not has_scale(task)]
    if not names:
        return []
    return [
        "No baseline got below the initial loss of these tasks, so their losses have no scale, and "
        f"they are in the curves and the counts alone: {'; '.join(names)}."
    ]
