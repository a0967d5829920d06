"""`metaopt evaluate --suite`: what is finished is kept, what fails is named, bad input refused."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from metaopt import evaluation_report, suites
from metaopt.suite_evaluation import Unit
from workers import cli

pytestmark = pytest.mark.usefixtures("standard_promotion")

TASK = "quadratic:dim=3"
PATIENCE = 300  # seconds, for a command
FLAGS = ("--workers", "1", "--cache", "cache", "--seeds", "2")


def evaluate(*flags: str) -> int:
    return cli.main(["evaluate", "run", *FLAGS, *flags])


def written(suite: str = "iid", folder: str = "run") -> dict:
    return json.loads(Path(folder, "evaluation", suite, "evaluation.json").read_text())


def kept() -> dict[str, int]:
    """The files of finished units, and when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in Path("cache").rglob("*.json")}


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The units that are computed, by name."""
    computed, run = [], Unit.run
    monkeypatch.setattr(Unit, "run", lambda unit: computed.append(unit.name) or run(unit))
    return computed


def test_writes_the_evaluation_and_says_what_it_did(run: Path, counted, capsys):
    assert evaluate("--suite", "iid", "--baselines", "adam, lion") == 0
    found = written()
    assert (found["suite"], found["seeds"]) == ("iid", [0, 1])
    assert [task["task"] for task in found["tasks"]] == [f"{TASK}, 4 steps"]
    assert list(found["tasks"][0]["results"]) == ["learned optimizer", "Adam", "Lion"]
    assert (found["failures"], len(counted), len(kept())) == ([], 3, 3)
    shown = capsys.readouterr().out
    assert "run run at outer step 3: suite iid, 1 tasks, 2 held-out runs each" in shown
    assert "Adam: tuning 15 rates, per task" in shown
    assert "3 of 3, 0 s left: Lion on" in shown
    assert "wrote run/evaluation/iid/evaluation.json" in shown
    assert json.loads((run / "evaluation/eval.json").read_text())["format_version"] == 1

    # Again, and with one more: nothing is computed that was before.
    before = kept()
    assert evaluate("--suite", "iid", "--baselines", "adam,lion,sgd") == 0
    assert counted[3:] == [(f"{TASK}, 4 steps", "SGD")]
    assert before.items() <= kept().items()
    again = written()
    assert again["tasks"][0]["results"]["Adam"] == found["tasks"][0]["results"]["Adam"]
    assert evaluate("--suite", "iid", "--baselines", "lion", "--seeds", "3") == 0
    assert len(counted) == 6


def test_evaluations_share_units_and_know_each_other(run: Path, counted):
    assert cli.main(["export", "run", "--out", "exported"]) == 0
    tasks = {"format": 1, "mixture": {}, "tasks": [{"name": TASK}, {"name": "quadratic:dim=2"}]}
    Path("my tasks.json").write_text(json.dumps(tasks))
    flags = ("--suite", "my tasks.json", "--baselines", "none", "--against", "exported")
    assert evaluate(*flags) == 0
    found = written("my-tasks")
    splits = [task["split"] for task in found["tasks"]]
    assert splits == ["in_distribution", "out_of_distribution"]
    kinds = [(each["name"], each["kind"]) for each in found["optimizers"]]
    assert kinds == [("learned optimizer", "subject"), ("exported", "export")]
    for task in found["tasks"]:
        assert task["results"]["learned optimizer"] == task["results"]["exported"]
        assert task["adam_grid"] is None
    assert len(counted) == 2


def test_what_fails_is_named_and_the_rest_is_there(run: Path, monkeypatch, capsys):
    def broken(unit: Unit):
        if unit.contender.title == "Lion":
            raise MemoryError("no more\nmemory")
        return record

    assert evaluate("--suite", "iid", "--baselines", "none", "--out", "first") == 0
    record = json.loads(next(Path("cache").rglob("*.json")).read_text())["record"]
    monkeypatch.setattr(Unit, "run", broken)
    there = ("--tasks", TASK, "mlp:dataset=mnist,source=tfds", "--baselines", "adam,lion")
    assert evaluate("--suite", "iid", *there) == 1
    found = written()
    assert len(found["tasks"]) == 2
    assert [list(task["results"]) for task in found["tasks"]] == [["learned optimizer", "Adam"], []]
    errors = {(x["task"].partition(",")[0], x["optimizer"]): x["error"] for x in found["failures"]}
    assert errors.pop((TASK, "Lion")) == "MemoryError: no more memory"
    assert set(errors) == {("mlp:dataset=mnist", x) for x in ("learned optimizer", "Adam", "Lion")}
    assert all("metaopt data prepare mnist" in error for error in errors.values())
    assert f"Lion on {TASK}, 4 steps failed: MemoryError" in capsys.readouterr().out
    assert len(kept()) == 2


def test_a_killed_evaluation_goes_on_without_repeating_a_unit(run: Path):
    rules = "sgd,momentum,adagrad,rmsprop,lion"
    command = [sys.executable, "-m", "workers.cli", "evaluate", "run", "--suite", "iid"]
    command += [*FLAGS, "--baselines", rules]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + PATIENCE
        while len(kept()) < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
    assert not Path("run/evaluation/iid").exists()
    before = kept()
    assert 2 <= len(before) < 6
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    missing = 6 - len(before)
    assert f"{len(before)} are known or shared, {missing} to compute" in done.stdout
    assert f"{missing} of {missing}, 0 s left" in done.stdout
    assert before.items() <= kept().items()
    assert len(kept()) == 6
    assert len(written()["tasks"][0]["results"]) == 6


REFUSED = {
    "no such suite": (["--suite", "smal"], "unknown suite 'smal'; did you mean 'small'?"),
    "no such file": (["--suite", "mine.json"], "cannot read mine.json: No such file"),
    "not a file of tasks": (["--suite", "odd.json"], "odd.json is no file of tasks"),
    "no such baseline": (["--suite", "iid", "--baselines", "adma"], "did you mean 'adam'?"),
    "a baseline twice": (["--suite", "iid", "--baselines", "sgd,sgd"], "SGD is to be evaluated 2"),
    "an export that is none": (["--suite", "iid", "--against", "none"], "none does not exist"),
    "one seed": (["--suite", "iid", "--seeds", "1"], "--seeds is 1; an interval needs 2"),
    "no steps": (["--suite", "iid", "--steps", "0"], "--steps is 0"),
    "no workers": (["--suite", "iid", "--workers", "0"], "--workers is 0"),
    "no cluster": (["--suite", "iid", "--address", "127.0.0.1:1"], "no Ray cluster at address"),
    "no suite": (["--baselines", "adam"], "--baselines goes with --suite"),
    "workers without a suite": (["--workers", "2"], "--workers goes with --suite"),
    "a cache that is a file": (
        ["--suite", "iid", "--baselines", "none", "--cache", "odd.json"],
        "cannot write odd.json",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_gives_one_line_and_writes_nothing(case: str, run: Path, refusal, monkeypatch):
    flags, message = REFUSED[case]
    Path("odd.json").write_text("[]")
    monkeypatch.setattr(Unit, "run", lambda unit: {"initial": None})
    assert message in refusal("evaluate", "run", *flags)
    assert not list(Path().rglob("evaluation.json"))


def test_the_defaults_of_the_small_suite_are_what_the_documents_say(run: Path, monkeypatch):
    record = {"initial": 1.0, "num_parameters": 3, "result": {"final_train_loss": [0.5]}}
    monkeypatch.setattr(Unit, "run", lambda unit: record)
    monkeypatch.setattr(evaluation_report, "write", lambda *_: [Path("report.html")])
    flags = ["--suite", "small", "--workers", "1", "--cache", "cache"]
    assert cli.main(["evaluate", "run", *flags]) == 0
    found = written("small")
    assert len(found["seeds"]) == suites.NUM_SEEDS["small"]
    assert len(found["tasks"]) == 11
    names = [each["name"] for each in found["optimizers"]]
    assert names == [
        *("learned optimizer", "Adam", "Adam + cosine", "SGD + momentum", "NAdamW list of 10"),
        *("Muon", "schedule-free AdamW"),
    ]
    assert np.sum([each["tuning_runs"] for each in found["optimizers"]]) == 5 * (5 * 15 + 10)
