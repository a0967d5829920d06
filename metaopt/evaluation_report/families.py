"""Which optimizer does well on which kind of task: families by optimizers."""

from collections.abc import Sequence

from metaopt.evaluation_report.data import Evaluated, TaskResults
from metaopt.evaluation_report.measures import judged, normalized
from metaopt.pages import figure
from metaopt.pages.html import Html, element, join
from metaopt.pages.numbers import number
from metaopt.pages.page import Section
from metaopt.pages.table import Table
from metaopt.protocols.robust_aggregates import interquartile_mean

DEEPEST = 55  # percent of the colour in a cell of normalised loss 0: its text stays readable


def section(evaluated: Evaluated) -> Section:
    """The heat map."""
    table = _table(evaluated)
    return Section(
        "families",
        "By family of tasks",
        text=(
            "Normalised final training loss: 1 at the initial loss or above, 0 at the best of all "
            "baselines, below 0 where even that is beaten. Interquartile means over the runs of a "
            "family. The deeper the colour, the lower the loss; the lowest of a row is framed and "
            "has a star.",
        ),
        figures=(
            figure.of_table(
                "families",
                table,
                "How many tasks a family has is said in brackets.",
                table.html(lambda row, column: _cell(table, row, column)),
            ),
        ),
    )


def _table(evaluated: Evaluated) -> Table:
    by_family: dict[str, list[TaskResults]] = {}
    for task in judged(evaluated):
        by_family.setdefault(task.family, []).append(task)
    rows = tuple(_row(evaluated, family, by_family[family]) for family in sorted(by_family))
    return Table("Normalised loss by family", ("family", *evaluated.names), rows)


def _row(
    evaluated: Evaluated, family: str, tasks: Sequence[TaskResults]
) -> tuple[str | float, ...]:
    losses = [normalized(tasks, name, len(evaluated.seeds)) for name in evaluated.names]
    return f"{family} ({len(tasks)})", *(float(interquartile_mean(found)) for found in losses)


def _cell(table: Table, row: int, column: int) -> Html | None:
    value = table.rows[row][column]
    if not isinstance(value, float):
        return None
    least = min(cell for cell in table.rows[row] if isinstance(cell, float))
    depth = round(DEEPEST * (1.0 - min(max(value, 0.0), 1.0) ** 0.5))
    best = value == least
    star = element("span", " \u2605", aria_label="lowest", role="img") if best else None
    return element(
        "span",
        join(number(value), star),
        class_="heat best" if best else "heat",
        style=f"--share:{depth}%",
    )
