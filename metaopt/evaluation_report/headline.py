"""What the evaluation comes to: a few numbers with their intervals, and all optimizers ranked."""

from metaopt.bootstrap import Measured
from metaopt.evaluation_report.data import Evaluated, Optimizer
from metaopt.evaluation_report.measures import Standing, judged
from metaopt.pages import figure, forest
from metaopt.pages.html import Html, element
from metaopt.pages.numbers import counted, number, percent
from metaopt.pages.page import Section
from metaopt.pages.table import Cell, Table

COLUMNS = (
    "optimizer",
    "score",
    "speed-up over tuned Adam",
    "subject beats it",
    "subject beats it on test loss",
    "diverged",
)
MORE_COLUMNS = (
    "optimizer",
    "optimality gap",
    "subject's loss over its",
    "profile score, steps",
    "profile score, time",
    "runs below all of tuned Adam",
)


def section(evaluated: Evaluated, standings: list[Standing]) -> Section:
    """The headline."""
    budgets = _budgets(evaluated)
    ranking = _ranking(standings)
    return Section(
        "headline",
        "Headline",
        before=_tiles(evaluated, standings),
        figures=(
            figure.of_table(
                "ranking",
                ranking,
                "Interquartile means over all runs of all tasks, with 95 % intervals of a "
                "bootstrap stratified by task. Score: 0 at the initial loss, 1 at the best of "
                "all baselines. Subject beats it: how likely a run of the subject ends with a "
                "lower loss than one of this optimizer on the same task; above 0.5 it is more "
                "often better.",
                ranking.html(_draw(ranking, standings), _row_class(standings)),
            ),
            figure.of_table(
                "more_measures",
                _more(standings),
                "The optimality gap is how far scores are below 1 on average. The subject's loss "
                "over its: final training loss, paired by seed. Profile scores as in AlgoPerf, "
                "of 1.",
            ),
            figure.of_table(
                "budgets",
                budgets,
                "What was spent on choosing each setting. A baseline that was chosen on the "
                "reported runs has an advantage over one that was not.",
            ),
        ),
    )


def best_other(standings: list[Standing]) -> Standing | None:
    """The optimizer with the highest score of all but the subject."""
    return max(standings[1:], key=lambda standing: standing.score.value, default=None)


def _tiles(evaluated: Evaluated, standings: list[Standing]) -> Html:
    ours, rival = standings[0], best_other(standings)
    tiles = [
        _tile("Score, of 1 for the best baseline", number(ours.score.value), _range(ours.score))
    ]
    if ours.speed_up is not None:
        value = f"{number(ours.speed_up.value)}\u00d7"
        tiles.append(_tile("Speed-up over tuned Adam", value, _range(ours.speed_up)))
    if rival is not None and rival.improvement is not None:
        low, high = rival.improvement.interval
        tiles.append(
            _tile(
                f"Chance to beat {rival.name}, the best of the others",
                percent(rival.improvement.value),
                f"95 % interval {percent(low)} to {percent(high)}",
            )
        )
    runs, diverged = ours.failures.num_runs, ours.failures.diverged
    worse = f"{ours.failures.worse_than_start} ended above their initial loss"
    tiles.append(_tile("Runs that diverged", f"{diverged} of {runs}", worse))
    return element("dl", *tiles, class_="tiles")


def _tile(name: str, value: str, detail: str) -> Html:
    return element(
        "div",
        element("dt", name),
        element("dd", value, class_="value"),
        element("dd", detail, class_="detail"),
    )


def _range(measured: Measured) -> str:
    low, high = measured.interval
    return f"95 % interval {number(low)} to {number(high)}"


def _ranking(standings: list[Standing]) -> Table:
    ordered = [_row(one) for one in ranked(standings)]
    return Table("All optimizers, by score", COLUMNS, tuple(ordered))


def ranked(standings: list[Standing]) -> list[Standing]:
    """By descending score."""
    return sorted(standings, key=lambda standing: -standing.score.value)


def _row(standing: Standing) -> tuple[Cell, ...]:
    return (
        standing.name,
        standing.score,
        standing.speed_up,
        standing.improvement,
        standing.test_improvement,
        f"{standing.failures.diverged} of {standing.failures.num_runs}",
    )


def _more(standings: list[Standing]) -> Table:
    rows = tuple(
        (
            one.name,
            one.optimality_gap,
            one.loss_ratio,
            one.profile_score_steps,
            one.profile_score_seconds,
            one.num_beyond,
        )
        for one in ranked(standings)
    )
    return Table("More measures", MORE_COLUMNS, rows)


def _draw(table: Table, standings: list[Standing]):
    styles = {standing.name: i for i, standing in enumerate(standings)}
    columns = {
        j: [cell for row in table.rows if isinstance(cell := row[j], Measured)]
        for j in range(len(COLUMNS))
    }

    def draw(row: int, column: int) -> Html | None:
        measured = table.rows[row][column]
        if not isinstance(measured, Measured):
            return None
        kind = "log" if column == 2 else "linear"
        reference = {2: 1.0, 3: 0.5, 4: 0.5}.get(column)
        scale = forest.shared_scale(columns[column], kind)
        return forest.cell(
            measured, scale, 0 if styles[str(table.rows[row][0])] == 0 else 1, reference
        )

    return draw


def _row_class(standings: list[Standing]):
    order = ranked(standings)
    return lambda row: "subject" if order[row].name == standings[0].name else None


def _budgets(evaluated: Evaluated) -> Table:
    columns = ("optimizer", "tuning", "settings tried per task", "tuning runs per task", "chosen")
    rows = tuple(_budget(optimizer) for optimizer in evaluated.optimizers)
    return Table("Tuning budgets", columns, rows)


def _budget(optimizer: Optimizer) -> tuple[Cell, ...]:
    return (
        optimizer.name,
        optimizer.tuning,
        optimizer.configurations,
        optimizer.tuning_runs,
        optimizer.chosen,
    )


def lead(evaluated: Evaluated, standings: list[Standing]) -> Html:
    """The result in one or two sentences, and what was evaluated."""
    seeds, tasks = counted(len(evaluated.seeds), "seed"), counted(len(evaluated.tasks), "task")
    facts = {
        "Subject": evaluated.subject,
        "Suite": evaluated.suite,
        "Tasks and seeds": f"{tasks}, {seeds}",
        "Made": f"{_readable(evaluated.created)}, metaopt {evaluated.version}",
        "On": evaluated.platform,
        "Checksum": evaluated.sha256[:16] or "none",
    }
    pairs = [
        element("div", element("dt", name), element("dd", value)) for name, value in facts.items()
    ]
    lead = element("p", _result(evaluated, standings), class_="lead")
    return Html(lead + element("dl", *pairs, class_="facts"))


def _result(evaluated: Evaluated, standings: list[Standing]) -> str:
    if not standings:
        return "No score: on no task did a baseline end below its initial loss."
    ours, rival = standings[0], best_other(standings)
    said = (
        f"A score of {number(ours.score.value)} on {counted(len(judged(evaluated)), 'task')} with "
        f"{counted(len(evaluated.seeds), 'seed')} each, where 1 is the best of all baselines on "
        "each task."
    )
    if rival is None or rival.improvement is None:
        return said
    return (
        f"{said} Against {rival.name}, the best of the others at {number(rival.score.value)}, it "
        f"{_verdict(rival.improvement)}."
    )


def _verdict(improvement: Measured) -> str:
    low, high = improvement.interval
    if low > 0.5:
        return "wins more often than not"
    return "loses more often than not" if high < 0.5 else "can not be told apart"


def _readable(time: str) -> str:
    return time.replace("T", " ").replace("Z", " UTC")
