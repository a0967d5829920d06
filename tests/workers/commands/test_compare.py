"""`metaopt report` and `metaopt compare`, from files to pages."""

import json
from pathlib import Path

import pytest
from evaluation_files import evaluation

from workers import cli

FILE = evaluation(num_tasks=2, num_seeds=2, num_points=6, changed=False)
CONFIG = 'seed = {seed}\ntasks = ["quadratic"]\n'


def make(folder: Path, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG.format(seed=seed))
    lines = [
        {"step": i + 1, "meta_loss": 1 / (i + 1), "seconds": 1.0, "inner_steps_per_second": 10.0}
        for i in range(5)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_report_takes_a_file_or_its_folder(tmp_path, capsys):
    file = tmp_path / "small" / "evaluation.json"
    file.parent.mkdir()
    file.write_text(json.dumps(FILE))
    assert cli.main(["report", str(file.parent)]) == 0
    there = (file.parent / "report.html").read_text()
    assert f"wrote {file.parent / 'report.html'}" in capsys.readouterr().out
    assert cli.main(["report", str(file), "--out", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other" / "report.html").read_text() == there
    assert (tmp_path / "other" / "report_figures" / "ranking.csv").is_file()


@pytest.mark.parametrize(
    "content, words",
    [(None, "cannot read"), ("{", "no JSON"), ("[]", "no evaluation"), ("{}", "format None")],
)
def test_report_refuses_what_is_no_evaluation(content, words, tmp_path, capsys):
    if content is not None:
        (tmp_path / "evaluation.json").write_text(content)
    assert cli.main(["report", str(tmp_path)]) == cli.USAGE_ERROR
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not list(tmp_path.glob("report*"))


def test_compare_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = make(tmp_path / "first"), make(tmp_path / "second", seed=1)
    (first / "evaluation" / "small").mkdir(parents=True)
    (first / "evaluation" / "small" / "evaluation.json").write_text(json.dumps(FILE))
    assert cli.main(["compare", "first", "second"]) == 0
    printed = capsys.readouterr().out
    assert "wrote comparison/comparison.html" in printed
    assert [line.split()[0] for line in printed.splitlines()[:3]] == ["run", "first", "second"]
    assert "Evaluations" in Path("comparison/comparison.html").read_text()

    assert cli.main(["compare", str(first), str(second), "--json", "--out", "there"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in found["runs"]] == ["first", "second"]
    assert found["differences"] == [{"key": "seed", "first": "0", "second": "1"}]
    assert (found["notes"], found["page"]) == ([], "there/comparison.html")


def test_runs_of_one_name_are_told_apart(tmp_path, capsys):
    make(tmp_path / "x" / "run")
    make(tmp_path / "y" / "run")
    paths = [str(tmp_path / name / "run") for name in "xy"]
    assert cli.main(["compare", *paths, "--json", "--out", str(tmp_path / "out")]) == 0
    assert [run["run"] for run in json.loads(capsys.readouterr().out)["runs"]] == paths


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda run: (run / "config.toml").unlink(), "is not a run"),
        (lambda run: (run / "config.toml").write_text("[a"), "is damaged"),
        (lambda run: (run / "metrics.jsonl").write_text("{\n"), "is damaged"),
    ],
)
def test_compare_refuses_what_is_no_run(spoil, words, tmp_path, capsys):
    spoil(make(tmp_path / "run"))
    assert cli.main(["compare", str(tmp_path / "run"), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()


def test_compare_needs_a_run(capsys):
    assert cli.main(["compare"]) == cli.USAGE_ERROR
    assert "no runs" in capsys.readouterr().err
