"""Reports: plain JSON that says everything, and sentences that follow from it."""

import json

import numpy as np
import pytest
from evaluations import ADAM, FACTORS, RATES, made_up

from metaopt import report
from metaopt.evaluate import LEARNED

DIVERGED = np.asarray([0.1, np.nan, 0.1], np.float32)


def reread(evaluation):
    return json.loads(json.dumps(report.as_json(evaluation), allow_nan=False))


@pytest.mark.parametrize("learned", [0.5 * ADAM, DIVERGED])
def test_json_is_finite_and_reads_back_the_same(learned):
    evaluation = made_up(learned)
    assert reread(evaluation) == report.as_json(evaluation)


def test_json_has_the_numbers_of_the_evaluation():
    found = reread(made_up(0.5 * ADAM))
    ours, adam, _ = found["results"]
    assert ours["final_train_loss"]["mean"] == pytest.approx(0.25)
    assert ours["final_train_loss"]["by_seed"] == pytest.approx(0.5 * ADAM, rel=1e-6)
    assert (adam["learning_rate"], adam["tuning_runs"], adam["diverged"]) == (0.1, 9, 0)
    assert found["grids"][0]["rates"] == pytest.approx(RATES, rel=1e-6)
    assert found["grids"][0]["final_train_loss"] == pytest.approx(0.5 * FACTORS, rel=1e-6)
    assert found["comparison"]["ratio"] == pytest.approx(0.5)
    assert found["seeds"] == [0, 1, 2]


def test_what_is_not_finite_is_null():
    ours = reread(made_up(DIVERGED))["results"][0]
    assert ours["final_train_loss"]["mean"] is None
    assert ours["final_train_loss"]["by_seed"] == pytest.approx([0.1, None, 0.1])
    assert ours["diverged"] == 1


def test_quartiles_are_members_and_a_diverged_run_is_the_worst():
    curves = np.asarray([[1.0, 9.0], [2.0, np.nan], [3.0, 7.0], [4.0, 8.0]])
    found = report.curve_quartiles(curves)
    np.testing.assert_array_equal(found, [[1.0, 7.0], [2.0, 8.0], [3.0, 9.0]])
    assert report.curve_quartiles(np.full((4, 2), np.nan)).tolist() == [[np.inf] * 2] * 3


def test_the_table_has_a_row_for_each_optimizer():
    ours, adam, cosine = report.table(reread(made_up(0.5 * ADAM)))
    assert len(ours) == len(adam) == len(cosine) == len(report.HEADER)
    cells = dict(zip(report.HEADER, ours, strict=True))
    assert (cells["optimizer"], cells["final train loss"]) == (LEARNED, "0.25")
    assert (cells["rate"], cells["tuning runs"], cells["test loss"]) == ("-", "0", "0.5")
    assert dict(zip(report.HEADER, adam, strict=True))["rate"] == "0.1"
    assert cosine[0] == "Adam + cosine"


def test_the_table_says_inf_where_a_run_diverged():
    cells = dict(zip(report.HEADER, report.table(reread(made_up(DIVERGED)))[0], strict=True))
    assert (cells["final train loss"], cells["95 % interval"]) == ("inf", "0.1 - inf")


def test_markdown_has_as_many_cells_in_every_line():
    lines = report.markdown(reread(made_up())).splitlines()
    assert len(lines) == 5
    assert {line.count("|") for line in lines} == {len(report.HEADER) + 1}


def test_conclusions_of_a_clear_win():
    lines = report.conclusions(reread(made_up(0.5 * ADAM, test_loss=0.5 * ADAM)))
    assert lines == [
        "Final train loss is 0.5 times that of Adam, 95 % interval 0.5 to 0.5: "
        "it excludes parity (3 runs, paired by seed).",
        "The rates of Adam were chosen on these same runs, which is in its favour.",
    ]


def test_conclusions_say_what_is_worse_and_what_was_not_bracketed():
    lines = report.conclusions(reread(made_up(DIVERGED, rates=RATES[:2])))
    assert "95 % interval 0.167 to inf: it does not exclude parity" in lines[0]
    assert "The grid of Adam, constant rate, does not bracket its best rate." in lines
    assert "Worse: final train loss inf, where Adam at rate 0.1 has 0.5." in lines
    assert "Worse: 1 of 3 runs diverged." in lines
