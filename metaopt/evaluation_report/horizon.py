"""What it costs to tell an optimizer a wrong number of steps."""

from metaopt.bootstrap import Measured
from metaopt.evaluation_report import over_factors
from metaopt.evaluation_report.data import WRONG_HORIZON, Evaluated, TaskResults
from metaopt.evaluation_report.measures import NUM_RESAMPLES, judged, normalized
from metaopt.evaluation_report.over_factors import Points
from metaopt.pages import figure
from metaopt.pages.figure import Figure
from metaopt.pages.html import element
from metaopt.pages.numbers import number
from metaopt.pages.page import Section
from metaopt.pages.table import Table
from metaopt.protocols import wrong_horizon
from metaopt.protocols.wrong_horizon import Excess

WORDS = "Normalised loss lost to a wrong announcement"
NOT_MEASURED = "No task of this evaluation has both a right and a wrong announcement."
RIGHT = (1.0, Measured(0.0, (0.0, 0.0)))  # nothing is lost to the truth


def section(evaluated: Evaluated) -> Section:
    """Excess losses over the announced number of steps."""
    title, subject = "A wrong horizon", evaluated.names[0]
    found = {name: _excesses(evaluated, name) for name in evaluated.names}
    if not found[subject]:
        return Section("horizon", title, (NOT_MEASURED,))
    measured = {name: [(e.announced, e.loss) for e in line] for name, line in found.items()}
    moved = [name for name, line in measured.items() if name == subject or _is_moved(line)]
    unmoved = [name for name, line in measured.items() if line and name not in moved]
    drawn = {name: sorted([*measured[name], RIGHT]) for name in moved}
    labels = ("announced over true steps", "excess of normalised loss")
    content = element(
        "div",
        over_factors.legend(evaluated, moved),
        figure.panels([("", "", over_factors.draw(evaluated, WORDS, labels, drawn, 0.0))], True),
        over_factors.table(WORDS, {name: measured[name] for name in moved}, "").html(),
    )
    caption = "Interquartile means with 95 % intervals."
    if unmoved:
        caption += f" No loss changes with the announcement: {'; '.join(unmoved)}."
    worst = number(wrong_horizon.sensitivity(found[subject]))
    return Section(
        "horizon",
        title,
        text=(
            "An optimizer that is told how many steps there will be can be told wrong. The same "
            "runs with the true number and with a wrong one, paired: above 0, the wrong one is "
            f"worse. The most that it costs the subject is {worst} of normalised loss.",
        ),
        figures=(Figure("horizon", content, caption, _data(found)),),
    )


def _is_moved(points: Points) -> bool:
    return any(measured.interval != (0.0, 0.0) for _, measured in points)


def _excesses(evaluated: Evaluated, name: str) -> list[Excess]:
    """By ascending announcement, for an optimizer that has results on such tasks."""
    pairs: dict[float, list[tuple[TaskResults, TaskResults]]] = {}
    for task in evaluated.tasks:
        true = _truly_announced(evaluated, task)
        if task.scale and true and name in task.results and name in true.results:
            pairs.setdefault(float(task.scale), []).append((task, true))
    of = lambda tasks: normalized(tasks, name, len(evaluated.seeds))
    columns = {scale: zip(*found, strict=True) for scale, found in sorted(pairs.items())}
    return [
        wrong_horizon.excess(of(wrong), of(true), scale, NUM_RESAMPLES)
        for scale, (wrong, true) in columns.items()
    ]


def _truly_announced(evaluated: Evaluated, task: TaskResults) -> TaskResults | None:
    """The same task with the true announcement; None where it is not in the evaluation."""
    if task.axis != WRONG_HORIZON:
        return None
    # The baselines are those of the same runs, so the anchors are the same numbers.
    same = lambda one: (one.family, one.num_steps, one.num_parameters, one.initial, one.best)
    return next((true for true in judged(evaluated) if same(true) == same(task)), None)


def _data(found: dict[str, list[Excess]]) -> Table:
    rows = tuple(
        (name, e.announced, e.num_tasks, e.loss) for name, line in found.items() for e in line
    )
    columns = ("optimizer", "announced over true steps", "tasks", "excess of normalised loss")
    return Table(WORDS, columns, rows)
