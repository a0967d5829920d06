import json
import subprocess
import sys
from pathlib import Path

import pytest

from workers import cli
from workers.commands import resume, train, tune

TUNING = Path(__file__).parents[2] / "recipes" / "digits_schedules.toml"
TINY = """
tasks = ["quadratic:dim=2"]
[optimizer]
kind = "PerParameterMLP"  # compiles in half the time
[estimator]
num_tasks = 2
truncation = 2
horizon.steps = 4
[learner]
num_steps = 3
[workers]
pool = "in-process"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a configuration in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METAOPT_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "run.toml").write_text(TINY)
    return tmp_path


def _error(arguments: list[str], capsys) -> str:
    """Runs a command that has to be refused; returns the one line that it prints."""
    status = cli.main(arguments)
    shown = capsys.readouterr()
    assert status == cli.USAGE_ERROR, shown
    assert shown.err.startswith("metaopt: error: ")
    assert shown.err.count("\n") == 1
    return shown.err


TRAIN = ["train", "--config", "run.toml"]

REFUSED = {
    "misspelt command": (["trian"], "unknown command 'trian'; did you mean 'train'?"),
    "misspelt sub-command": (["tasks", "lst"], "did you mean 'tasks list'?"),
    "flag without a command": (["--bogus"], "unknown command '--bogus'"),
    "misspelt flag": (
        [*TRAIN, "--estimator.num-taks", "3"],
        "did you mean --estimator.num-tasks?",
    ),
    "not a number": ([*TRAIN, "--workers", "many"], "--workers"),
    "unknown choice": ([*TRAIN, "--workers.pool", "rya"], "invalid choice 'rya'"),
    "unknown task": ([*TRAIN, "--tasks", "mpl"], "unknown task 'mpl'; did you mean 'mlp'?"),
    "unknown data set": (
        [*TRAIN, "--tasks", "mlp:dataset=digts"],
        "data set 'digts'; did you mean 'digits'?",
    ),
    "data set not prepared": (
        [*TRAIN, "--tasks", "mlp:dataset=mnist,source=tfds"],
        "metaopt data prepare mnist --download",
    ),
    "unknown optimizer": (
        [*TRAIN, "--optimizer.kind", "FactorMLP"],
        "optimizer.kind 'FactorMLP'; did you mean 'FactoredMLP'?",
    ),
    "unknown outer optimizer": (
        [*TRAIN, "--learner.optimizer.name", "adm"],
        "optax optimizer 'adm'; did you mean 'adam'?",
    ),
    "horizon": (
        [*TRAIN, "--estimator.truncation", "3"],
        "horizon 4 is not a multiple of the truncation 3; use 3",
    ),
    "zero workers": ([*TRAIN, "--workers", "0"], "workers.number is 0; it must be at least 1"),
    "too many tasks": (
        [*TRAIN, "--tasks", "quadratic", "quadratic:dim=3"],
        "'quadratic:dim=3' would never be trained",
    ),
    "missing file": (["train", "--config", "none.toml"], "cannot read configuration none.toml"),
    "no run": (["train", "--resume", "nothing"], "nothing is not a run"),
    "resume with config": ([*TRAIN, "--resume", "r"], "leave out --config"),
    "resume with out": (["train", "--resume", "run", "--out", "o"], "leave out --out"),
    "data set of the other source": (["data", "prepare", "digits"], "its source is embedded"),
    "resume without a run": (["resume"], "needs a run folder"),
    "resume of no run": (["resume", "nothing"], "nothing is not a run"),
    "step without resume": ([*TRAIN, "--step", "3"], "--step goes with --resume"),
    "run folder exists": ([*TRAIN, "--out", "."], "run folder . exists"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_gives_one_line_and_leaves_nothing_behind(case: str, folder: Path, capsys):
    arguments, message = REFUSED[case]
    (folder / "run").mkdir()
    (folder / "run" / "config.toml").write_text(TINY)
    assert message in _error(arguments, capsys)
    assert not (folder / "runs").exists()
    assert not list(folder.glob("*.jsonl"))


def test_a_misspelt_key_is_refused_with_the_nearest(folder: Path, capsys):
    (folder / "run.toml").write_text(TINY.replace("num_tasks", "num_task"))
    error = _error(TRAIN, capsys)
    assert "run.toml: unknown key in [estimator] 'num_task'; did you mean 'num_tasks'?" in error
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers", "0"], "workers.number is 0"),
        (
            ["--workers.pool", "ray", "--address", "localhost:1"],
            "no Ray cluster at address 'localhost:1'",
        ),
    ],
)
def test_the_real_command_refuses_in_the_same_way(flags: list[str], message: str, folder: Path):
    done = subprocess.run(
        [sys.executable, "-m", "workers.cli", *TRAIN, *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not (folder / "runs").exists()


def test_file_wins_over_defaults_and_flags_over_the_file(folder: Path):
    flags = ["--config", "run.toml", "--workers", "2", "--estimator.num-tasks=5", "--seed", "9"]
    settings = train.parse(flags, "metaopt train").settings
    assert (settings.workers.number, settings.workers.pool) == (2, "in-process")
    assert (settings.estimator.num_tasks, settings.seed) == (5, 9)
    assert settings.learner.num_steps == 3
    assert settings.checkpoint.keep == 3


def test_kind_is_a_flag_too(folder: Path):
    flags = ["--estimator.horizon.kind=LogUniform", "--estimator.horizon.longest", "300"]
    settings = train.parse(flags, "metaopt train").settings
    assert settings.horizon.bounds() == (100, 300)
    flags = ["--estimator.kind", "FullES", "--estimator.objective", "final"]
    assert train.parse(flags, "metaopt train").settings.estimator.objective == "final"


def test_resume_is_the_command_that_made_the_run(folder: Path):
    for name, text in {"trained": TINY, "tuned": TUNING.read_text()}.items():
        (folder / name).mkdir()
        (folder / name / "config.toml").write_text(text)
    trained = resume.parse(["trained", "--address", "auto"], "metaopt resume")
    assert isinstance(trained, train.Train)
    assert (trained.resume, trained.settings.workers.address) == (Path("trained"), "auto")
    assert isinstance(resume.parse(["tuned"], "metaopt resume"), tune.Tune)


def test_workers_may_be_a_range(folder: Path):
    command = train.parse([*TRAIN[1:], "--workers", "1:6"], "metaopt train")
    assert (command.settings.workers.min_number, command.settings.workers.number) == (1, 6)


def test_help_shows_every_key_and_needs_no_jax(folder: Path, capsys):
    with pytest.raises(SystemExit) as done:
        cli.main([*TRAIN, "--help"])
    assert not done.value.code
    shown = capsys.readouterr().out
    for flag in ("--estimator.horizon.steps", "--learner.optimizer.clip-norm", "--address"):
        assert flag in shown

    code = (
        "import sys; from workers import cli; cli.main(['--help']); assert 'jax' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert all(name in done.stdout for name in cli.COMMANDS)


def test_version(capsys):
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out.startswith("metaopt ")


def test_dry_run_prints_the_plan_and_writes_nothing(folder: Path, capsys):
    assert cli.main([*TRAIN, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "quadratic:dim=2, 2 parameters",
        "1,762 meta-parameters",
        "24 in all",
        "s per est",
    ):
        assert text in shown
    assert sorted(p.name for p in folder.iterdir()) == ["run.toml"]


def test_a_plan_as_json_is_one_line_and_only_of_a_dry_run(folder: Path, capsys):
    assert cli.main([*TRAIN, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["core_hours"] == pytest.approx(plan["seconds"] * plan["workers"] / 3600)
    assert "24 in all" in plan["text"]["work"]
    assert cli.main([*TRAIN, "--json"]) == cli.USAGE_ERROR
    assert "--json goes with --dry-run" in capsys.readouterr().err
    assert sorted(p.name for p in folder.iterdir()) == ["run.toml"]
