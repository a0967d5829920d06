"""A table of one set of values as HTML, CSV, JSON and LaTeX."""

import csv
import dataclasses
import functools
import io
import json
import math
from collections.abc import Callable
from typing import Any, TypeAlias

from metaopt.bootstrap import Measured
from metaopt.pages.html import Html, element
from metaopt.pages.numbers import number

Cell: TypeAlias = str | int | float | Measured | None
Show: TypeAlias = Callable[[int, int], Html | None]  # of row and column; None for its text
RowClass: TypeAlias = Callable[[int], str | None]  # of the row, in the style sheet

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\u2212": "$-$",
    "\u221e": r"$\infty$",
    "\u2013": "--",
    "\u00d7": r"$\times$",
    "\u2009": r"\,",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows under named columns; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def html(
        self, show: Show = lambda row, column: None, row_class: RowClass = lambda row: None
    ) -> Html:
        """A table with a caption, in a box that scrolls.

        `show` draws the cells that are not text, `row_class` names rows for the style sheet.
        """
        head = element("tr", *(_head(name, "col") for name in self.columns))
        rows = [
            element(
                "tr", *(self._cell(i, j, show(i, j)) for j in range(len(row))), class_=row_class(i)
            )
            for i, row in enumerate(self.rows)
        ]
        table = element(
            "table",
            element("caption", element("span", self.title)),
            element("thead", head),
            element("tbody", *rows),
        )
        return element(
            "div",
            table,
            class_="scroll",
            tabindex=0,
            role="region",
            aria_label=f"Table: {self.title}",
        )

    def _cell(self, i: int, j: int, shown: str | None) -> Html:
        cell = self.rows[i][j]
        content = text(cell) if shown is None else shown
        if j == 0:
            return _head(content, "row")
        return element("td", content, class_=None if isinstance(cell, str) else "number")

    def csv(self) -> str:
        """Comma-separated values, an interval as three columns, nothing for what is not finite."""
        file = io.StringIO()
        columns, rows = self._flat
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
        return file.getvalue()

    def json(self) -> str:
        """The title, the columns and a list of rows; null for what is not finite."""
        columns, rows = self._flat
        write = lambda value: json.dumps(value, ensure_ascii=False)
        lines = ",\n  ".join(map(write, rows))
        head = f'{{"title": {write(self.title)},\n "columns": {write(columns)},\n'
        return f'{head} "rows": [\n  {lines}\n]}}\n'

    def latex(self) -> str:
        """A table for the package booktabs, with the title as its caption."""
        left = "l" + "".join("l" if self._is_text(j) else "r" for j in range(1, len(self.columns)))
        lines = [" & ".join(_latex(text(cell)) for cell in row) + r" \\" for row in self.rows]
        return "\n".join(
            [
                r"\begin{table}",
                rf"  \caption{{{_latex(self.title)}}}",
                rf"  \begin{{tabular}}{{{left}}}",
                r"    \toprule",
                f"    {' & '.join(map(_latex, self.columns))} \\\\",
                r"    \midrule",
                *(f"    {line}" for line in lines),
                r"    \bottomrule",
                r"  \end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def _is_text(self, column: int) -> bool:
        return any(isinstance(row[column], str) for row in self.rows)

    @functools.cached_property
    def _flat(self) -> tuple[list[str], list[list[Any]]]:
        """Columns and rows with three columns for one that has intervals, numbers in 7 digits."""
        indices = range(len(self.columns))
        wide = [any(isinstance(row[j], Measured) for row in self.rows) for j in indices]
        columns = [
            part
            for name, is_wide in zip(self.columns, wide, strict=True)
            for part in ((name, f"{name}, low", f"{name}, high") if is_wide else (name,))
        ]
        rows = [
            [_plain(v) for cell, w in zip(row, wide, strict=True) for v in _parts(cell, w)]
            for row in self.rows
        ]
        return columns, rows


def text(cell: Cell) -> str:
    """A cell as it is read: a number in three digits, and its interval."""
    if isinstance(cell, Measured):
        low, high = cell.interval
        return f"{number(cell.value)} ({number(low)} to {number(high)})"
    return cell if isinstance(cell, str) else number(cell)


def _head(content: str, scope: str) -> Html:
    return element("th", content, scope=scope)


def _parts(cell: Cell, wide: bool) -> tuple[Any, ...]:
    if isinstance(cell, Measured):
        return cell.value, *cell.interval
    return (cell, None, None) if wide else (cell,)


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _latex(written: str) -> str:
    return "".join(LATEX.get(character, character) for character in written)
