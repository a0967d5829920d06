"""Reading an evaluation: None as NaN, and one line for what is none."""

import numpy as np
import pytest
from evaluation_files import evaluation

from metaopt.evaluation_report import data
from taskset.errors import InputError

FILE = evaluation(num_tasks=2, num_seeds=3, num_points=7, changed=False)


def test_reads_what_is_written():
    found = data.read(FILE)
    task, written = found.tasks[0], FILE["tasks"][0]
    assert (task.name, task.family, task.num_steps) == (
        written["task"],
        written["family"],
        written["num_steps"],
    )
    assert found.names[0] == "learned optimizer"
    assert task.results["Adam"].curves.shape == (3, len(written["steps"]))
    assert task.adam is not None
    np.testing.assert_array_equal(task.adam.curves, written["adam_grid"]["curves"])


def test_what_was_not_finite_is_nan_and_anchors_may_be_missing():
    result = FILE["tasks"][0]["results"]["Adam"] | {"final_train_loss": [1.0, None, 2.0]}
    task = FILE["tasks"][0] | {"results": {"Adam": result}, "anchors": {"initial": None, "best": 1}}
    found = data.read(FILE | {"tasks": [task | {"adam_grid": None}]}).tasks[0]
    np.testing.assert_array_equal(found.results["Adam"].final_train_loss, [1.0, np.nan, 2.0])
    assert np.isnan(found.initial)
    assert found.adam is None


def test_a_grid_may_be_longer_than_the_task():
    grid = {"rates": [0.1], "steps": [0, 50], "curves": [[[3.0, 2.0]]]}
    found = data.read(FILE | {"tasks": [FILE["tasks"][0] | {"adam_grid": grid}]}).tasks[0].adam
    assert found is not None
    assert (found.steps.tolist(), found.curves.shape) == ([0.0, 50.0], (1, 1, 2))


@pytest.mark.parametrize(
    "change, words",
    [
        ({"format_version": 1}, "format 1"),
        ({"format_version": None}, "format None"),
        ({"tasks": []}, "no task"),
        ({"seeds": []}, "damaged"),
        ({"tasks": [{"task": "a"}]}, "damaged, at 'steps'"),
        ({"tasks": None}, "damaged"),
        ({"optimizers": []}, "no optimizer"),
        ({"optimizers": FILE["optimizers"][1:]}, "not the subject"),
        ({"optimizers": [{"name": "a"}]}, "damaged, at 'kind'"),
    ],
)
def test_refuses_what_is_no_evaluation(change, words):
    with pytest.raises(InputError) as caught:
        data.read(FILE | change)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
