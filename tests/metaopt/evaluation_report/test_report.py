"""The page: complete, self-contained, readable for everyone, and safe with any name."""

import copy
import csv
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from evaluation_files import FAMILIES, evaluation

from metaopt import evaluation_report
from metaopt.evaluation_report import data
from metaopt.pages import page
from metaopt.protocols import speed_up

FILE = evaluation(num_tasks=6, num_seeds=4, num_points=30)
VOID = {"meta", "br", "hr"}
SECTIONS = (
    "headline", "curves", "profiles", "speed-up", "families", "split", "scale", "horizon", "costs",
    "failures", "tasks", "methods",
)  # fmt: skip


class Outline(HTMLParser):
    """The elements of a page; fails where one is not closed in order."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    evaluation_report.write(FILE, folder)
    return folder


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    return (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def outline(text: str) -> Outline:
    return Outline(text)


def test_has_every_section_in_the_contents(outline: Outline):
    assert [a["id"] for a in outline.all("section")] == list(SECTIONS)
    links = [href for a in outline.all("a") if (href := a["href"] or "").startswith("#")]
    assert links == ["#main", *(f"#{name}" for name in SECTIONS)]


def test_needs_nothing_from_elsewhere(text: str, outline: Outline):
    tags = {tag for tag, _ in outline.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "image", "use"}
    assert not re.search(r"@import|url\(|https?://|javascript:|\son\w+=", text)


def test_links_lead_to_files_that_hold_the_figures(folder: Path, outline: Outline):
    links = {a["href"] for a in outline.all("a")} - {"#main", *(f"#{name}" for name in SECTIONS)}
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert links == there - {"report.html"}
    assert len(links) == 3 * len(outline.all("figure"))
    for file in folder.glob("report_figures/*.json"):
        found = json.loads(file.read_text())
        with file.with_suffix(".csv").open() as lines:
            rows = list(csv.reader(lines))
        assert rows[0] == found["columns"]
        assert len(rows) - 1 == len(found["rows"]) > 0
        tex = file.with_suffix(".tex").read_text()
        assert tex.startswith("\\begin{table}") and tex.endswith("\\end{table}\n")


def test_figures_hold_the_numbers_of_the_evaluation(folder: Path):
    found = json.loads((folder / "report_figures" / "curves.json").read_text())
    task = FILE["tasks"][0]
    rows = [r for r in found["rows"] if r[:2] == [task["task"], "Adam"]]
    curves = np.asarray(task["results"]["Adam"]["curves"])
    shown = speed_up.recent(curves, np.asarray(task["steps"]))
    median = np.quantile(shown, 0.5, axis=0, method="inverted_cdf")
    assert [row[2] for row in rows] == task["steps"]
    np.testing.assert_allclose([row[5] for row in rows], median, rtol=1e-6)


def test_can_be_read_without_seeing_it(outline: Outline):
    ids = [a["id"] for _, a in outline.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    levels = [int(tag[1]) for tag, _ in outline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(a["scope"] in ("row", "col") for a in outline.all("th"))
    assert len(outline.all("caption")) == len(outline.all("table")) > 8
    assert all(
        a.get("aria-hidden") == "true"
        or (a.get("role") == "img" and len(a["aria-label"] or "") > 20)
        for a in outline.all("svg")
    )
    assert outline.elements[0] == ("html", {"lang": "en"})


def test_says_how_it_was_done(outline: Outline):
    words = " ".join(outline.words)
    for said in (
        *("2002.11887", "2306.07179", "2108.13264", "2211.09760", "censored", "Who chose on what"),
        *(
            "chosen per task, on the reported runs",
            "intervals rest on noise that is",
            "60 tuning runs",
        ),
        "tensors of rank 4 are not supported",
    ):
        assert said in words, said


def test_the_same_evaluation_gives_the_same_page(text: str, tmp_path):
    evaluation_report.write(copy.deepcopy(FILE), tmp_path)
    assert (tmp_path / "report.html").read_text() == text


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;'


def test_names_cannot_become_markup(tmp_path):
    def hostile(value, at=""):
        if isinstance(value, dict):
            return {
                hostile(k) if k in ("Adam", "SGD") else k: hostile(v, k) for k, v in value.items()
            }
        if isinstance(value, list):
            return [hostile(item, at) for item in value]
        kept = ("format_version", "kind", "split", "axis")
        return f"{value}{HOSTILE}" if isinstance(value, str) and at not in kept else value

    file = json.loads(json.dumps(FILE))
    for task in file["tasks"]:
        task["results"] = {hostile(name): result for name, result in task["results"].items()}
    report, *_ = evaluation_report.write(hostile(file) | {"seeds": file["seeds"]}, tmp_path)
    found = Outline(report.read_text())
    assert not found.all("script", "img")
    assert not [a for _, a in found.elements if any(name.startswith("on") for name in a)]
    assert "<script>" in "".join(found.words)


def changed(change) -> dict:
    file = json.loads(json.dumps(evaluation(num_tasks=3, num_seeds=2, num_points=6, changed=False)))
    change(file)
    return file


def _nothing_finite(file):
    for task in file["tasks"]:
        for result in task["results"].values():
            result["curves"] = [[None] * len(c) for c in result["curves"]]
            for measure in ("final_train_loss", "test_loss", "trajectory_mean"):
                result[measure] = [None, None]


def _alone(file):
    file["optimizers"] = file["optimizers"][:1]
    for task in file["tasks"]:
        task["results"] = {k: v for k, v in task["results"].items() if k == "learned optimizer"}
        task["adam_grid"] = None


def _no_results(file):
    for task in file["tasks"]:
        task.update(results={}, num_parameters=None, adam_grid=None)


def _negative(file):
    for task in file["tasks"]:
        task["anchors"] = {name: x - 9 for name, x in task["anchors"].items()}
        for result in task["results"].values():
            for measure in ("final_train_loss", "test_loss"):
                result[measure] = [None if x is None else x - 9 for x in result[measure]]
            result["curves"] = [[None if x is None else x - 9 for x in c] for c in result["curves"]]


def _one_point(file):
    for task in file["tasks"]:
        first = [[curve[:1] for curve in curves] for curves in task["adam_grid"]["curves"]]
        task.update(steps=[0], adam_grid={"rates": [], "curves": first})
        for result in task["results"].values():
            result["curves"] = [curve[:1] for curve in result["curves"]]


def _unmeasured(file):
    for task in file["tasks"]:
        for result in task["results"].values():
            for measure in (
                "update_milliseconds",
                "step_milliseconds",
                "state_bytes_per_parameter",
            ):
                result[measure] = None


CASES = {
    "no scale": lambda file: [
        t.update(anchors={"initial": 1.0, "best": None}) for t in file["tasks"]
    ],
    "nothing finite": _nothing_finite,
    "alone": _alone,
    "no results": _no_results,
    "negative losses": _negative,
    "costs not measured": _unmeasured,
    "one task": lambda file: file.update(tasks=file["tasks"][:1]),
    "one point": _one_point,
    "solved": lambda file: [
        r.update(final_train_loss=[0.0, 0.0]) for t in file["tasks"] for r in t["results"].values()
    ],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", CASES)
def test_whatever_came_of_it_there_is_a_page(case: str, tmp_path):
    report, *_ = evaluation_report.write(changed(CASES[case]), tmp_path)
    text = report.read_text()
    scored = ("headline", "profiles", "families", "split")
    judged = () if case == "no scale" else scored
    there = [a["id"] for a in Outline(text).all("section")]
    assert {*judged, "curves", "costs", "failures", "tasks", "methods"} <= set(there)
    drawn = re.findall(r'(?:\bd|x|y|x1|x2|y1|y2|cx|cy|height|width)="([^"]*)"', text)
    assert not [found for found in drawn if "nan" in found or "inf" in found]


def test_a_suite_of_109_tasks_stays_below_3_megabytes():
    file = evaluation(num_tasks=len(FAMILIES), num_seeds=2, num_points=60, changed=False)
    tasks = [
        task | {"task": f"{task['task']} with a name as long as they come {i}"}
        for i in range(22)
        for task in file["tasks"]
    ][:109]
    found = evaluation_report.page(data.read(file | {"tasks": tasks})).html("figures")
    assert len(found.encode()) < 3_000_000


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(color: str, other: str, share: float) -> str:
    parts = [(int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in parts)


@pytest.mark.parametrize("scheme", [0, 1])
def test_colours_have_the_contrast_that_wcag_asks_for(scheme: int):
    style = (Path(page.__file__).parent / "style.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in blocks[:2])
    colors = (light, light | dark)[scheme]
    assert all(contrast(colors[n], colors["paper"]) >= 4.5 for n in ("ink", "soft", "link"))
    assert all(contrast(colors[f"c{i}"], colors["paper"]) >= 3 for i in range(8))
    deepest = mixed(colors["good"], colors["surface"], 0.55)
    assert contrast(colors["ink"], deepest) >= 4.5
