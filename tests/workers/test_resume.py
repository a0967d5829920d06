"""Runs that are broken off and go on: through the command, with real signals."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import pytest

import metaopt
from metaopt import checkpoint, telemetry
from metaopt.learned_optimizers import LearnableMomentum
from workers import cli, run_folder, run_status

ENDLESS = 10**6
CONFIG = f"""
tasks = ["quadratic:dim=2"]
[optimizer]
kind = "PerParameterMLP"  # compiles in half the time
[estimator]
num_tasks = 2
truncation = 2
horizon.steps = 4
[learner]
num_steps = {ENDLESS}
[workers]
number = 2
pool = "in-process"
[checkpoint]
every = 5
"""


@pytest.fixture(autouse=True)
def standard_promotion() -> Iterator[None]:
    with jax.numpy_dtype_promotion("standard"):  # optax takes float ** int
        yield


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(CONFIG)
    return path


@contextmanager
def _running(config: Path, run: Path, *flags: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has begun and would go on for hours."""
    command = [sys.executable, "-m", "workers.cli", "train", "--config", str(config)]
    with subprocess.Popen(
        [*command, "--out", str(run), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _wait_for(process, lambda: len(checkpoint.steps(run / "checkpoints")) >= 2)
            yield process
        finally:
            process.kill()


def _wait_for(process: subprocess.Popen[str], condition, seconds: float = 120.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < give_up
        time.sleep(0.01)


def _train(*arguments: str) -> int:
    return cli.main(["train", *arguments])


def _arrays(run: Path, step: int) -> bytes:
    return (checkpoint.at(run / "checkpoints", step) / checkpoint.ARRAYS).read_bytes()


def _losses(run: Path) -> list[tuple[int, float, float]]:
    records = telemetry.read(run / "metrics.jsonl")
    return [(r["step"], r["meta_loss"], r["gradient_norm"]) for r in records]


@pytest.mark.parametrize("pool", ["in-process", "process"])
def test_a_killed_run_goes_on_to_the_same_bits(config: Path, tmp_path: Path, pool: str):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    with _running(config, killed, "--workers.pool", pool) as process:
        process.kill()
    newest = int(checkpoint.newest(killed / "checkpoints").name.removeprefix("step_"))
    end = str(newest + 7)
    assert _train("--resume", str(killed), "--learner.num-steps", end) == 0
    assert _train("--config", str(config), "--out", str(whole), "--learner.num-steps", end) == 0
    assert _arrays(killed, int(end)) == _arrays(whole, int(end))
    assert _losses(killed) == _losses(whole)
    said = [run_status.read(run) for run in (killed, whole)]
    assert [(one.state, one.attempt) for one in said if one] == [("succeeded", 1), ("succeeded", 0)]
    assert run_folder.load_trained(killed).config.learner.num_steps == int(end)
    assert [step for step, _, _ in _losses(killed)] == list(range(1, int(end) + 1))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_with_a_checkpoint(
    config: Path, tmp_path: Path, number: signal.Signals, status: int
):
    run = tmp_path / "run"
    with _running(config, run, "--workers.pool", "process") as process:
        os.killpg(process.pid, number)  # as a terminal does: the workers get it too
        shown, _ = process.communicate(timeout=60)
    assert process.returncode == status, shown
    assert "Traceback" not in shown
    assert f"stopped by {number.name}" in shown
    said = run_status.read(run)
    assert said and (said.state, said.reason) == ("stopped", f"stopped by {number.name}")
    last = telemetry.read(run / "metrics.jsonl")[-1]["step"]
    assert checkpoint.newest(run / "checkpoints") == checkpoint.at(run / "checkpoints", last)


@pytest.mark.ray
def test_the_same_bits_on_ray(config: Path, tmp_path: Path, ray_address: str):
    flags = ["--config", str(config), "--learner.num-steps", "6"]
    assert _train(*flags, "--out", str(tmp_path / "here")) == 0
    on_ray = ["--workers.pool", "ray", "--address", ray_address]
    assert _train(*flags, "--out", str(tmp_path / "there"), *on_ray) == 0
    assert _arrays(tmp_path / "here", 6) == _arrays(tmp_path / "there", 6)


def test_a_learned_outer_optimizer_goes_on_to_the_same_bits(config: Path, tmp_path: Path):
    learned = LearnableMomentum(learning_rate=0.01)
    path = metaopt.export(tmp_path / "learned", learned, learned.init(jax.random.key(0)))
    flags = ["--config", str(config), f"--outer-optimizer={path}"]
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert _train(*flags, "--out", str(run), "--learner.num-steps", "3") == 0
    assert _train("--resume", str(run), "--learner.num-steps", "6") == 0
    assert _train(*flags, "--out", str(whole), "--learner.num-steps", "6") == 0
    assert _arrays(run, 6) == _arrays(whole, 6)
    assert f'path = "{path}"' in (run / "config.toml").read_text()


@pytest.fixture
def finished(config: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    assert _train("--config", str(config), "--out", str(run), "--learner.num-steps", "12") == 0
    return run


def test_what_was_trained_can_be_loaded(finished: Path):
    newest, earlier = run_folder.load_trained(finished), run_folder.load_trained(finished, 10)
    assert (newest.step, earlier.step) == (12, 10)
    saved = checkpoint.load_arrays(finished / "checkpoints" / "step_000012", "meta_params")
    leaves = jax.tree.leaves(newest.meta_params)
    assert sum(leaf.size for leaf in leaves) == 1762
    for found, expected in zip(leaves, saved.values(), strict=True):
        assert found.tobytes() == expected.tobytes()
    assert leaves[0].tobytes() != jax.tree.leaves(earlier.meta_params)[0].tobytes()


def test_the_written_configuration_runs_again_verbatim(finished: Path, tmp_path: Path):
    again = tmp_path / "again"
    assert _train("--config", str(finished / "config.toml"), "--out", str(again)) == 0
    assert _arrays(again, 12) == _arrays(finished, 12)
    assert (again / "config.toml").read_text() == (finished / "config.toml").read_text()


def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_can_be_chosen(
    finished: Path, capsys
):
    whole = _arrays(finished, 12)
    path = checkpoint.at(finished / "checkpoints", 12) / checkpoint.ARRAYS
    path.write_bytes(whole[:-1])
    assert _train("--resume", str(finished)) == 2
    error = capsys.readouterr().err
    assert "step_000012 is damaged" in error
    assert "--step 10 takes the previous good one" in error
    assert _train("--resume", str(finished), "--step", "10") == 0
    assert _arrays(finished, 12) == whole


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--seed", "1"], "goes on with seed = 0, not 1"),
        (["--estimator.stddev", "0.1"], "goes on with estimator.stddev = 0.01, not 0.1"),
        (["--workers", "4"], "goes on with workers.number = 2, not 4"),
        (["--optimizer.kind", "FactoredMLP"], "optimizer.kind = 'PerParameterMLP'"),
    ],
)
def test_a_run_does_not_go_on_as_another_one(finished: Path, capsys, flags, message):
    assert _train("--resume", str(finished), *flags) == 2
    assert message in capsys.readouterr().err


def test_a_configuration_edited_in_the_run_folder_is_refused_by_the_checkpoint(
    finished: Path, capsys
):
    path = finished / "config.toml"
    path.write_text(path.read_text().replace("hidden_size = 32", "hidden_size = 31"))
    assert _train("--resume", str(finished)) == 2
    error = capsys.readouterr().err
    assert "step_000012 has shape" in error
    assert json.loads((finished / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 12


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the disk is full when files are made durable, once for each time; then it is not."""
    full: list[bool] = []
    write = checkpoint.write_durably

    def write_durably(path: Path, content: bytes) -> None:
        if path.name == checkpoint.ARRAYS and full and full.pop(0):
            path.write_bytes(content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(checkpoint, "write_durably", write_durably)
    return full


def test_a_checkpoint_that_a_full_disk_does_not_take_is_written_when_it_does(
    config: Path, tmp_path: Path, disk: list[bool], caplog: pytest.LogCaptureFixture
):
    run = tmp_path / "run"
    disk += [False, True, True]  # those of steps 10 and 11
    assert _train("--config", str(config), "--out", str(run), "--learner.num-steps", "14") == 0
    assert checkpoint.steps(run / "checkpoints") == [5, 12, 14]
    assert [path.name[0] for path in (run / "checkpoints").iterdir()] == ["s"] * 3
    assert caplog.text.count("no checkpoint: No space left on device") == 2


def test_a_last_checkpoint_that_a_full_disk_does_not_take_is_an_error(
    config: Path, tmp_path: Path, disk: list[bool], capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    disk += [False, True]
    assert _train("--config", str(config), "--out", str(run), "--learner.num-steps", "10") == 2
    assert "No space left on device; make room there" in capsys.readouterr().err
    assert _train("--resume", str(run)) == 0
    assert checkpoint.steps(run / "checkpoints") == [5, 10]
    assert [record["step"] for record in telemetry.read(run / "metrics.jsonl")] == [*range(1, 11)]


def test_two_processes_do_not_train_in_one_folder(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = tmp_path / "run"
    with _running(config, run) as process:
        assert _train("--resume", str(run)) == 2
        assert "another process trains in" in capsys.readouterr().err
        assert process.poll() is None


def test_a_run_goes_on_with_as_many_workers_as_it_is_told_to(config: Path, tmp_path: Path):
    run = tmp_path / "run"
    metrics = run / "metrics.jsonl"
    running = lambda: telemetry.read(metrics)[-1]["workers"]["running"]
    with _running(config, run) as process:
        for number in (1, 2):
            assert cli.main(["runs", "scale", str(run), str(number)]) == 0
            _wait_for(process, lambda n=number: running() == n)
    assert cli.main(["runs", "scale", str(run), "3"]) == 2


def _num_done(run: Path, step: int) -> dict[str, int]:
    arrays = checkpoint.load_arrays(checkpoint.at(run / "checkpoints", step), "workers")
    return {path: int(array) for path, array in arrays.items() if path.endswith("num_done")}


def test_a_run_of_which_workers_come_and_go_goes_on_with_more_and_with_fewer(
    config: Path, tmp_path: Path
):
    run = tmp_path / "run"
    end = lambda step: ["--learner.num-steps", str(step)]
    assert _train("--config", str(config), "--out", str(run), "--workers", "1:2", *end(3)) == 0
    assert cli.main(["runs", "scale", str(run), "1"]) == 0
    assert cli.main(["resume", str(run), "--workers", "1:3", *end(6)]) == 0
    assert _num_done(run, 6) == {"0/num_done": 6, "1/num_done": 6, "2/num_done": 3}
    assert cli.main(["resume", str(run), "--workers", "1", *end(9)]) == 0
    assert _num_done(run, 9) == {"0/num_done": 9}
    running = [r["workers"]["running"] for r in telemetry.read(run / "metrics.jsonl")]
    assert running == [2, 2, 2, 3, 3, 3, 1, 1, 1]
