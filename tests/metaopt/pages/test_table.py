"""Tables: the same values in every format, and nothing that breaks out of one."""

import csv
import io
import json
import math
from xml.etree import ElementTree

from metaopt.bootstrap import Measured
from metaopt.pages.table import Table

NAME = 'a_b & <i>50 %</i> {$x^2$} \\ "~#'
TABLE = Table(
    "Scores & more",
    ("optimizer", "score", "runs", "note"),
    (
        (NAME, Measured(0.12345678901, (-0.5, math.inf)), 1200, "x, y"),
        ("Adam", None, 3, None),
        ("SGD", Measured(math.nan, (0.0, 1.0)), 0.5, "z"),
    ),
)


def test_html_reads_back_with_scopes_and_a_caption():
    root = ElementTree.fromstring(TABLE.html())
    assert "".join(root.find(".//caption").itertext()) == "Scores & more"  # type: ignore[union-attr]
    assert [e.get("scope") for e in root.iter("th")] == ["col"] * 4 + ["row"] * 3
    assert [e.text for e in root.iter("th")][4:] == [NAME, "Adam", "SGD"]
    assert (root.get("role"), root.get("tabindex"), root.get("aria-label")) == (
        "region",
        "0",
        "Table: Scores & more",
    )
    cells = [e.text for e in root.iter("td")]
    assert cells[:4] == ["0.123 (\u22120.500 to \u221e)", "1,200", "x, y", "\u2013"]


def test_csv_and_json_have_intervals_as_columns_and_the_full_numbers():
    rows = list(csv.reader(io.StringIO(TABLE.csv())))
    assert rows[0] == ["optimizer", "score", "score, low", "score, high", "runs", "note"]
    assert rows[1:] == [
        [NAME, "0.1234568", "-0.5", "", "1200", "x, y"],
        ["Adam", "", "", "", "3", ""],
        ["SGD", "", "0.0", "1.0", "0.5", "z"],
    ]
    found = json.loads(TABLE.json())
    assert (found["title"], found["columns"]) == ("Scores & more", rows[0])
    assert found["rows"][0] == [NAME, 0.1234568, -0.5, None, 1200, "x, y"]
    assert json.loads(Table("t", ("a",), ()).json())["rows"] == []


def test_latex_is_a_booktabs_table_whose_text_is_text():
    lines = TABLE.latex().splitlines()
    assert lines[2] == r"  \begin{tabular}{lrrl}"
    assert [x.strip() for x in lines if "rule" in x] == [r"\toprule", r"\midrule", r"\bottomrule"]
    row = next(line for line in lines if line.startswith("    a"))
    assert r"a\_b \& \textless{}i\textgreater{}50 \%" in row
    assert r"\{\$x\textasciicircum{}2\$\} \textbackslash{}" in row
    assert r"0.123 ($-$0.500 to $\infty$)" in row
    # Every row has as many cells as there are columns.
    assert [line.replace(r"\&", "").count("&") for line in lines if line.endswith(r"\\")] == [3] * 4
    assert TABLE.latex().isascii()
