"""A chart or a table with its caption, and the files that hold its numbers."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metaopt.pages import chart
from metaopt.pages.html import Html, element, join
from metaopt.pages.table import Table
from taskset import whole_files

FORMATS = ("csv", "json", "tex")


@dataclasses.dataclass(frozen=True)
class Figure:
    """What a reader looks at, and the same as numbers."""

    name: str  # of its files
    content: Html
    caption: str
    data: Table  # for CSV and JSON
    digest: Table | None = None  # for LaTeX, where the data have too many rows to be set

    def html(self, folder: str) -> Html:
        """The figure, with links to its files in `folder`."""
        links = [
            element("a", kind.upper().replace("TEX", "LaTeX"), href=f"{folder}/{self.name}.{kind}")
            for kind in FORMATS
        ]
        files = element("span", "Data: ", join(*links, between=" "), class_="files")
        caption = element("figcaption", element("p", self.caption), files)
        return element("figure", self.content, caption, id=f"figure-{self.name}")

    def write(self, folder: Path) -> list[Path]:
        """Writes the files into `folder`; returns their paths. Raises `OSError`."""
        table = self.data if self.digest is None else self.digest
        contents = dict(
            zip(FORMATS, (self.data.csv(), self.data.json(), table.latex()), strict=True)
        )
        paths = [folder / f"{self.name}.{kind}" for kind in contents]
        for path, content in zip(paths, contents.values(), strict=True):
            whole_files.replace(path, content.encode())
        return paths


def of_table(name: str, table: Table, caption: str, content: Html | None = None) -> Figure:
    """A table as a figure."""
    return Figure(name, table.html() if content is None else content, caption, table)


def panels(charts: Sequence[tuple[str, str, Html]], wide: bool = False) -> Html:
    """Charts side by side as room allows, each under a title and a line of small print."""
    return element(
        "div",
        *(
            element(
                "div",
                element("h3", title) if title else None,
                element("p", note, class_="note") if note else None,
                drawn,
                class_="panel",
            )
            for title, note, drawn in charts
        ),
        class_="panels wide" if wide else "panels",
    )


def legend(names: Sequence[tuple[str, int]]) -> Html:
    """Which line is which: names with the styles of their lines."""
    items = [
        element("li", chart.swatch(style), name, class_="first" if style == 0 else None)
        for name, style in names
    ]
    return element("ul", *items, class_="legend", aria_label="Legend")
