"""What the evaluations of runs came to, and their training curves on the tasks that they share."""

from collections.abc import Sequence

import numpy as np

from metaopt.evaluation_report import data, measures
from metaopt.evaluation_report.data import Evaluated, TaskResults
from metaopt.evaluation_report.training_curves import quartiles
from metaopt.pages import figure
from metaopt.pages.figure import Figure
from metaopt.pages.html import element
from metaopt.pages.page import Section
from metaopt.pages.table import Cell, Table
from metaopt.run_comparison import meta_curves
from metaopt.run_comparison.runs import MetaTraining

COLUMNS = (
    "run",
    "suite",
    "evaluated",
    "tasks",
    "seeds",
    "score",
    "speed-up over tuned Adam",
    "diverged",
)
MAX_TASKS = 24  # panels


def section(runs: Sequence[MetaTraining]) -> Section | None:
    """A table and curves; None where no run was evaluated over a suite."""
    found = [(run.name, data.read(file)) for run in runs for file in run.evaluations]
    if not found:
        return None
    table = Table("Evaluations", COLUMNS, tuple(_row(name, one) for name, one in found))
    figures = [
        figure.of_table(
            "evaluations",
            table,
            "Interquartile means with 95 % intervals. Score: 0 at the initial loss, 1 at the "
            "best of all baselines of that evaluation. See metaopt report for each.",
        ),
        *_curves(runs),
    ]
    return Section("evaluations", "Evaluations", notes([one for _, one in found]), tuple(figures))


def notes(found: Sequence[Evaluated]) -> tuple[str, ...]:
    """Why scores cannot be compared as they are; none where they can."""
    if len({(one.suite, len(one.seeds), tuple(one.names[1:])) for one in found}) == 1:
        return ()
    return (
        "The evaluations differ in their suite, their seeds or their baselines. A score is beside "
        "the best baseline of its own evaluation: compare those of one suite alone.",
    )


def _row(name: str, evaluated: Evaluated) -> tuple[Cell, ...]:
    ours = measures.standings(evaluated)[0] if measures.judged(evaluated) else None
    return (
        name,
        evaluated.suite,
        evaluated.subject,
        len(evaluated.tasks),
        len(evaluated.seeds),
        ours.score if ours else None,
        ours.speed_up if ours else None,
        f"{ours.failures.diverged} of {ours.failures.num_runs}" if ours else None,
    )


def _curves(runs: Sequence[MetaTraining]) -> list[Figure]:
    """Training curves of the evaluated optimizers on tasks that at least two of the runs have."""
    by_run = [_tasks(run) for run in runs]
    everything = dict.fromkeys(task for tasks in by_run for task in tasks)
    shared = [task for task in everything if sum(task in tasks for tasks in by_run) > 1]
    if not shared:
        return []
    missing = (np.zeros(0), np.zeros(0))
    lines = {
        task: [
            (run.name, *tasks.get(task, missing)) for run, tasks in zip(runs, by_run, strict=True)
        ]
        for task in shared
    }
    labels = ("step", "training loss")
    panels = [
        (task, "", meta_curves.draw(f"Training loss on {task}", labels, lines[task]))
        for task in shared[:MAX_TASKS]
    ]
    rows = tuple(
        (task, name, int(step), float(loss))
        for task in shared
        for name, steps, losses in lines[task]
        for step, loss in zip(steps, losses, strict=True)
    )
    table = Table("Training loss", ("task", "run", "step", "median"), rows)
    ends = tuple(
        (task, name, float(losses[-1]))
        for task in shared
        for name, _, losses in lines[task]
        if losses.size
    )
    digest = Table("Training loss at the end", ("task", "run", "median"), ends)
    content = element("div", meta_curves.legend(runs), figure.panels(panels))
    caption = f"Medians over seeds, on {len(panels)} of {len(shared)} tasks that runs share."
    return [Figure("evaluation_curves", content, caption, table, digest)]


def _tasks(run: MetaTraining) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and median losses of the subject by task, over all evaluations of a run."""
    found = {}
    for evaluated in map(data.read, run.evaluations):
        subject = evaluated.names[0]
        found |= {
            task.name: _median(task, subject) for task in evaluated.tasks if subject in task.results
        }
    return found


def _median(task: TaskResults, name: str) -> tuple[np.ndarray, np.ndarray]:
    return task.steps, quartiles(task, name)[1]
