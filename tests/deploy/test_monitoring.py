"""Rules and board ask for metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import yaml

from metaopt.aggregate import Cause
from workers import ray_metrics
from workers.health import STATES

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"

# What the learner exports, by the name in Prometheus, with the labels of its own.
LEARNER = {
    "ray_metaopt_outer_steps_total": set(),
    "ray_metaopt_inner_steps_total": set(),
    "ray_metaopt_estimates_total": {"outcome"},
    "ray_metaopt_estimate_staleness_bucket": {"le"},
    "ray_metaopt_workers": {"state"},
    "ray_metaopt_compile_seconds_total": set(),
}
# Of Ray 2.60 itself, as its metrics page names them.
OF_RAY = {
    "ray_object_store_used_memory": {"NodeAddress"},
    "ray_object_store_available_memory": {"NodeAddress"},
    "ray_node_disk_free": {"ip"},
    "ray_node_disk_usage": {"ip"},
    "ray_node_mem_used": {"ip"},
    "ray_node_mem_total": {"ip"},
    "ray_node_cpu_utilization": {"ip"},
}
VALUES = {
    "outcome": {"used", *get_args(Cause)},
    "state": set(STATES),
}


def board() -> dict:
    return json.loads((FOLDER / "grafana.json").read_text())


def rules() -> list[dict]:
    return yaml.safe_load((FOLDER / "rules.yaml").read_text())["groups"][0]["rules"]


def expressions() -> list[str]:
    panels = [target["expr"] for panel in board()["panels"] for target in panel["targets"]]
    return [*panels, *(rule["expr"] for rule in rules())]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_asks_for_what_is_exported(expression: str):
    known = LEARNER | OF_RAY
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    names = set(re.findall(r"\bray_\w+", expression))
    assert names or any(name in expression for name in recorded)
    assert names <= known.keys()
    labels = {"SessionName"} | {label for name in names for label in known[name]}
    by = {
        label.strip()
        for found in re.findall(r"by \((.+?)\)", expression)
        for label in found.split(",")
    }
    assert by <= labels
    for label, value in re.findall(r'(\w+)!?="(\w+)"', expression):
        assert value in VALUES[label]


def test_the_learner_exports_that_and_no_more():
    made = re.findall(r'"(metaopt_\w+)"', Path(ray_metrics.__file__).read_text())
    assert {f"ray_{name}" for name in made} == {name.removesuffix("_bucket") for name in LEARNER}
    page = (FOLDER.parents[1] / "docs" / "cluster.md").read_text()
    assert all(f"`ray_{name}" in page for name in made)
    assert all(f"`{value}`" in page for values in VALUES.values() for value in values)


def test_all_that_the_learner_exports_is_on_the_board():
    shown = " ".join(t["expr"] for panel in board()["panels"] for t in panel["targets"])
    assert all(name in shown for name in LEARNER)


def test_panels_do_not_overlap():
    places = [panel["gridPos"] for panel in board()["panels"]]
    cells = [
        (x, y)
        for p in places
        for x in range(p["x"], p["x"] + p["w"])
        for y in range(p["y"], p["y"] + p["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in board()["panels"]}) == len(places)


def test_an_alert_says_what_is_wrong_and_what_to_do():
    alerts = [rule for rule in rules() if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert {"summary", "description"} == alert["annotations"].keys()
        assert alert["labels"]["severity"] in ("warning", "critical")


@pytest.mark.parametrize("kind", ["rules", "config"])
def test_promtool_finds_nothing(kind: str):
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    file = FOLDER / ("rules.yaml" if kind == "rules" else "prometheus.yaml")
    done = subprocess.run(
        ["promtool", "check", kind, file], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
