"""One tiny run for all tests of the commands that take a run, evaluated at its best checkpoint."""

import shutil
from pathlib import Path

import jax
import pytest

from workers import cli

CONFIG = """
tasks = ["quadratic:dim=3"]
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
[checkpoint]
every = 1
"""


@pytest.fixture(scope="session")
def evaluated_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of steps 1 to 3 and an evaluation of the last, not to be changed."""
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "run.toml").write_text(CONFIG)
    run = folder / "run"
    with jax.numpy_dtype_promotion("standard"):
        assert cli.main(["train", "--config", str(folder / "run.toml"), "--out", str(run)]) == 0
        assert cli.main(["evaluate", str(run), "--seeds", "2"]) == 0
    return run


@pytest.fixture
def run(evaluated_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, named "run" in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(evaluated_run, "run")
    return Path("run")


@pytest.fixture
def refusal(capsys):
    """Runs a command that has to be refused; returns the one line that it prints."""

    def run(*arguments: str) -> str:
        status = cli.main(list(arguments))
        shown = capsys.readouterr()
        assert status == cli.USAGE_ERROR, shown
        assert shown.err.startswith("metaopt: error: ")
        assert shown.err.count("\n") == 1
        return shown.err

    return run
