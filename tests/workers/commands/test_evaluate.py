"""`metaopt evaluate`: of runs and of exports, and what it refuses."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from evaluations import made_up

from metaopt import exports, report
from metaopt.baselines.grid import RATES
from taskset import catalog
from workers import cli
from workers.commands import evaluate
from workers.suite_run import SuiteRun

pytestmark = pytest.mark.usefixtures("standard_promotion")

TASK = "quadratic:dim=3"


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _report(folder: Path) -> dict:
    return json.loads((folder / "eval.json").read_text())


def test_writes_a_report_with_its_picture(evaluated_run: Path):
    folder = evaluated_run / "evaluation"
    assert _files(folder) == {"eval.json", "curves.png", "curves.svg"}
    written = _report(folder)
    assert (written["task"], written["num_steps"], written["seeds"]) == (TASK, 4, [0, 1])
    assert written["stream"] == "report"
    assert all(len(grid["rates"]) >= len(RATES) for grid in written["grids"])
    assert written["results"][1]["tuning_runs"] >= 2 * len(RATES)
    assert len(written["sha256"]) == 64


def test_prints_the_budget_the_table_and_what_it_says(run: Path, capsys):
    assert cli.main(["evaluate", "run", "--seeds", "2", "--out", "out"]) == 0
    shown = capsys.readouterr().out
    assert "run run at outer step 3: 2 held-out runs of 4 steps a task." in shown
    assert "Adam: 15 rates from 0.001 to 1, with and without cosine decay: 60 tuning" in shown
    for line in report.conclusions(_report(Path("out"))):
        assert line in shown
    for name in report.HEADER:
        assert name in shown
    assert "wrote out/eval.json" in shown


def test_a_run_and_its_export_are_evaluated_alike(run: Path):
    assert cli.main(["export", "run", "--out", "exported"]) == 0
    assert cli.main(["evaluate", "exported", "--seeds", "2"]) == 0
    found, expected = _report(Path("exported/evaluation")), _report(run / "evaluation")
    assert found["sha256"] == expected["sha256"]
    for name in ("final_train_loss", "test_loss", "curve"):
        assert found["results"][0][name] == expected["results"][0][name]


def test_several_tasks_have_a_folder_each(run: Path, monkeypatch: pytest.MonkeyPatch):
    def evaluation(family, *_, num_steps, seeds, task):
        assert (catalog.name_of(family), seeds) == (task, range(2))
        return dataclasses.replace(made_up(), task=task, num_steps=num_steps)

    monkeypatch.setattr(evaluate, "evaluate", evaluation)
    tasks = [TASK, "quadratic:dim=2"]
    flags = ["--tasks", *tasks, "--seeds", "2", "--steps", "2", "--out", "out"]
    assert cli.main(["evaluate", "run", *flags]) == 0
    folders = [Path("out") / evaluate.slug(task) for task in tasks]
    assert [_report(folder)["task"] for folder in folders] == tasks
    assert [_report(folder)["num_steps"] for folder in folders] == [2, 2]


REFUSED = {
    "no folder": (["none"], "none does not exist; give a run folder or an export folder"),
    "not a run": (["empty"], "empty is not a run: it has no config.toml"),
    "one seed": (["run", "--seeds", "1"], "--seeds is 1; an interval needs 2"),
    "no seed": (["run", "--seeds", "-4"], "--seeds is -4"),
    "no steps": (["run", "--steps", "0"], "--steps is 0; it must be at least 1"),
    "unknown task": (["run", "--tasks", "mpl"], "unknown task 'mpl'; did you mean 'mlp'?"),
    "second task unknown": (["run", "--tasks", TASK, "quadratic:dmi=3"], "did you mean 'dim'?"),
    "unknown checkpoint": (["run", "--checkpoint", "9"], "there are: 1, 2, 3"),
    "misspelt flag": (["run", "--seed", "3"], "did you mean --seeds?"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_gives_one_line_and_leaves_nothing_behind(case: str, run: Path, refusal):
    arguments, message = REFUSED[case]
    Path("empty").mkdir()
    before = _files(Path())
    assert message in refusal("evaluate", *arguments, "--out", "out")
    assert _files(Path()) == before
    assert not Path("out").exists()


@pytest.mark.parametrize("flags", [["--seeds", "2"], ["--suite", "iid", "--workers", "1"]])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    flags: list[str], run: Path, refusal, monkeypatch: pytest.MonkeyPatch
):
    computed = lambda *_, **options: pytest.fail(f"computed {options}")
    monkeypatch.setattr(evaluate, "evaluate", computed)
    monkeypatch.setattr(SuiteRun, "run", computed)
    Path("file").touch()
    said = refusal("evaluate", "run", *flags, "--out", "file/out")
    assert "cannot write into file/out: Not a directory; give another --out" in said


def test_an_export_of_the_wrong_shape_is_refused(run: Path, refusal):
    assert cli.main(["export", "run", "--out", "exported"]) == 0
    file = Path("exported/model.safetensors")
    arrays = safetensors.numpy.load_file(file)
    name = next(name for name, array in arrays.items() if array.ndim == 2)
    arrays[name] = np.zeros((7, 5), np.float32)
    safetensors.numpy.save_file(arrays, file)
    error = refusal("evaluate", "exported")
    assert f"{file}: {name!r} is [7, 5], PerParameterMLP needs [" in error
    assert not Path("exported/evaluation").exists()


def test_an_export_that_does_not_say_what_it_is_for_needs_flags(run: Path, refusal):
    assert cli.main(["export", "run", "--out", "exported"]) == 0
    found = exports.read("exported")
    exports.export("bare", found.optimizer, found.meta_params)
    assert "name it by --tasks" in refusal("evaluate", "bare")
    assert "give --steps" in refusal("evaluate", "bare", "--tasks", TASK)


def test_a_checkpoint_that_is_damaged_is_refused(run: Path, refusal):
    (run / "checkpoints/step_000003/manifest.json").unlink()
    shutil.rmtree(run / "evaluation")
    assert "step_000003" in refusal("evaluate", "run", "--seeds", "2")
    assert not (run / "evaluation").exists()
