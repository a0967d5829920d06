"""Runs beside one another: their numbers by plain sums, what differs, and a page in every case."""

import json
import math

import numpy as np
import pytest
from evaluation_files import evaluation

from metaopt import run_comparison
from metaopt.run_comparison import runs
from metaopt.run_comparison.runs import MetaTraining
from taskset.errors import InputError

CONFIG = {
    "seed": 0,
    "tasks": ["quadratic"],
    "estimator": {"normalization": "none", "horizon": {"steps": 50}, "stddev": 0.01},
}


def record(step: int, loss: float | str, tasks=("quadratic",)) -> dict:
    return {
        "step": step,
        "meta_loss": loss,
        "seconds": 0.5 + step,
        "inner_steps_per_second": 40.0,
        "tasks": {task: {"meta_loss": loss} for task in tasks},
    }


def made(name: str, losses, changes=None, **more) -> MetaTraining:
    records = [record(i + 1, loss, **more) for i, loss in enumerate(losses)]
    return MetaTraining(name, CONFIG | (changes or {}), records)


LOSSES = [3.0, 2.0, "nan", 1.0, *[0.5 + 0.01 * i for i in range(30)], "inf"]
RUN = made("a", LOSSES)


def test_the_row_of_a_run_by_plain_sums():
    (row,) = runs.table([RUN]).rows
    cells = dict(zip(runs.COLUMNS, row))
    seconds = [0.5 + step for step in range(1, len(LOSSES) + 1)]
    assert cells["outer steps"] == len(LOSSES)
    # The last tenth are 4 outer steps, of which one is not finite.
    assert cells["meta-loss at the end"] == pytest.approx(np.mean([0.77, 0.78, 0.79]))
    assert cells["hours"] == pytest.approx(sum(seconds) / 3600)
    assert cells["inner steps"] == round(40 * sum(seconds))
    assert cells["inner steps per second"] == pytest.approx(40)
    average, least = 3.0, 3.0
    for loss in map(float, LOSSES[1:]):
        if math.isfinite(loss):
            average = 0.95 * average + 0.05 * loss
            least = min(least, average)
    assert cells["least meta-loss"] == pytest.approx(least)


def test_what_differs_is_named_key_by_key():
    other = made("b", [1.0], {"seed": 1, "estimator": {**CONFIG["estimator"], "stddev": 0.1}})
    found = runs.differences([RUN, other])
    assert found.columns == ("key", "a", "b")
    assert found.rows == (("seed", "0", "1"), ("estimator.stddev", "0.01", "0.1"))
    assert runs.notes([RUN, other]) == []
    assert runs.differences([RUN, RUN]).rows == ()


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"tasks": ["mlp", "quadratic"]}, "different tasks (tasks)"),
        ({"mixture": {"families": ["mlp"]}}, "different tasks (mixture.families)"),
        ({"problem": {"outer_split": "outer_valid"}}, "objectives (problem.outer_split)"),
        (
            {"estimator": {**CONFIG["estimator"], "normalization": "log"}},
            "objectives (estimator.normalization)",
        ),
        (
            {"estimator": {**CONFIG["estimator"], "horizon": {"steps": 9}}},
            "objectives (estimator.horizon.steps)",
        ),
    ],
)
def test_runs_of_different_things_get_a_note(changes, words):
    (note,) = runs.notes([RUN, made("b", LOSSES, changes)])
    assert words in note


def evaluated(run: MetaTraining, **settings) -> MetaTraining:
    file = evaluation(num_tasks=2, num_points=8, changed=False, **settings)
    return MetaTraining(run.name, run.config, run.records, [file])


def test_the_page_lays_lines_over_one_another(tmp_path):
    other = made("b <script>", LOSSES, tasks=("quadratic", "mlp"))
    third = made("c", LOSSES, tasks=("mlp",))
    page, *files = run_comparison.write([RUN, other, third], tmp_path)
    text = page.read_text()
    assert "<script" not in text
    assert text.count('role="img"') == 3 + 2  # over steps, inner steps and hours; by task
    found = json.loads((tmp_path / "comparison_figures" / "meta_loss.json").read_text())
    assert len(found["rows"]) == 3 * len(LOSSES)
    assert found["rows"][2][4] is None
    assert {file.parent.name for file in files} == {"comparison_figures"}


def test_evaluations_are_laid_over_one_another_with_a_note_where_they_differ():
    same = [evaluated(made(name, LOSSES), num_seeds=3, seed=i) for i, name in enumerate("ab")]
    text = run_comparison.page(same).html("figures")
    assert "Training loss on mlp_family_seed0: a ends at" in text
    assert "The evaluations differ" not in text
    other = evaluated(made("c", LOSSES), num_seeds=2)
    assert "The evaluations differ" in run_comparison.page([same[0], other]).html("figures")


@pytest.mark.parametrize("losses", [[], ["nan", "nan"], [1.0], [-1.0, 0.0, 1.0], ["inf"] * 40])
def test_there_is_a_page_however_far_a_run_came(losses):
    text = run_comparison.page([made("a", losses), RUN]).html("figures")
    assert 'd="M' in text and "nan" not in text.split("<main")[1].split("Data:")[0]


def test_an_evaluation_of_another_format_is_refused():
    run = MetaTraining("a", CONFIG, RUN.records, [{"format_version": 1}])
    with pytest.raises(InputError, match="format 1"):
        run_comparison.page([run])
