"""`metaopt export`: the best checkpoint with its own evaluation, and what it refuses."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import metaopt
from metaopt import exports
from workers import cli, run_folder

pytestmark = pytest.mark.usefixtures("standard_promotion")

TASK = "quadratic:dim=3"


@pytest.fixture
def exported(run: Path) -> Path:
    assert cli.main(["export", str(run), "--out", "exported"]) == 0
    return Path("exported")


def test_holds_what_the_run_has_come_to(exported: Path, run: Path):
    trained, found = run_folder.load_trained(run), exports.read(exported)
    assert found.optimizer == trained.config.optimizer
    leaves = zip(jax.tree.leaves(found.meta_params), jax.tree.leaves(trained.meta_params))
    assert all(np.array_equal(ours, theirs) for ours, theirs in leaves)
    params = {"weight": np.ones((2, 3), np.float32)}
    optimizer = metaopt.load(exported, num_steps=4)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert np.all(np.isfinite(updates["weight"]))


def test_has_the_evaluation_of_the_run(exported: Path, run: Path):
    evaluations = json.loads((exported / "eval.json").read_text())
    assert evaluations == {TASK: json.loads((run / "evaluation/eval.json").read_text())}
    assert f"### `{TASK}`, 4 steps" in (exported / "README.md").read_text()


def test_says_where_it_comes_from(exported: Path, run: Path):
    provenance = exports.read(exported).provenance
    assert (provenance["tasks"], provenance["num_steps"]) == ([TASK], 4)
    assert (provenance["outer_steps"], provenance["seed"]) == (3, 0)
    assert provenance["inner_steps"] == 3 * 2 * 2 * 2  # steps, tasks, antithetic, truncation
    assert provenance["configuration"] == (run / "config.toml").read_text()
    assert {"jax", "optax"} <= set(provenance["versions"])


def test_prints_lines_that_use_it(run: Path, capsys):
    assert cli.main(["export", str(run), "--out", "exported"]) == 0
    shown = capsys.readouterr().out
    assert "exported outer step 3 of run to exported" in shown
    assert "metaopt.load('exported', num_steps=4)" in shown


def test_an_evaluation_of_another_checkpoint_is_not_attached(run: Path):
    assert cli.main(["export", str(run), "--out", "earlier", "--checkpoint", "1"]) == 0
    assert exports.read(Path("earlier")).provenance["outer_steps"] == 1
    assert not Path("earlier/eval.json").exists()
    assert "Not evaluated." in Path("earlier/README.md").read_text()


def test_a_run_without_evaluation_can_be_exported(run: Path):
    shutil.rmtree(run / "evaluation")
    assert cli.main(["export", str(run), "--out", "exported"]) == 0
    assert not Path("exported/eval.json").exists()


REFUSED = {
    "folder exists": (["run", "--out", "taken"], "export folder taken exists; choose another"),
    "no run": (["none", "--out", "out"], "none is not a run: it has no config.toml"),
    "not a run": (["taken", "--out", "out"], "taken is not a run"),
    "no folder named": (["run"], "--out"),
    "unknown checkpoint": (["run", "--out", "out", "--checkpoint", "9"], "there are: 1, 2, 3"),
    "below a file": (["run", "--out", "run/config.toml/out"], "Not a directory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_gives_one_line_and_leaves_nothing_behind(case: str, run: Path, refusal):
    arguments, message = REFUSED[case]
    Path("taken").mkdir()
    Path("taken/mine").write_text("untouched")
    before = sorted(Path().rglob("*"))
    assert message in refusal("export", *arguments)
    assert sorted(Path().rglob("*")) == before
    assert Path("taken/mine").read_text() == "untouched"


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_damaged_evaluation_is_named(run: Path, refusal, content: str):
    (run / "evaluation/eval.json").write_text(content)
    error = refusal("export", "run", "--out", "out")
    assert "run/evaluation/eval.json is damaged: it is no evaluation" in error
    assert not Path("out").exists()
