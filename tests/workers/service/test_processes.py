"""Runs as processes of this machine: they begin, end with a checkpoint, go on, and are exported."""

import datetime
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from starlette.testclient import TestClient
from tiny_run import TINY

import metaopt
from metaopt.client.models import Launch
from workers import run_status
from workers.service import app, processes
from workers.service.launches import Launches
from workers.service.processes import ProcessLauncher
from workers.service.settings import Settings
from workers.service.store import LaunchFile

ROOT = Path(__file__).parents[3]
RECIPE = f'{TINY}[learner]\nnum_steps = 1000000\n[workers]\npool = "in-process"\n'
JSON = {"content-type": "application/json"}


def wait_for(condition, what: str, seconds: float = 120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.05)


def record_of(run: str, **launch) -> LaunchFile:
    at = datetime.datetime.now(datetime.UTC)
    return LaunchFile(run=run, launch=Launch(by="me", at=at, **launch))


@pytest.fixture
def http(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("METAOPT_SERVICE_TOKEN", "not for runs")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "tiny.toml").write_text(RECIPE)
    (tmp_path / "runs").mkdir()
    settings = Settings(
        root=str(tmp_path / "runs"),
        index=tmp_path / "index.sqlite",
        recipes=tmp_path / "recipes",
        change_rate=0,
    )
    built = app.guarded(app.build(settings))
    with TestClient(built, base_url="http://localhost:8700") as client:
        yield client
    for launched in Launches(tmp_path / "runs").all():
        if launched.launch.pid and processes.started(launched.launch.pid):
            os.kill(launched.launch.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_run_starts_stops_goes_on_and_is_exported(http, tmp_path: Path):
    folder = tmp_path / "runs" / "one"
    said = (tmp_path / "runs/.service/logs/one.log").read_text
    answer = http.post("/v1/runs", json={"recipe": "tiny", "name": "one"})
    assert answer.status_code == 201, answer.text
    pid = answer.json()["launch"]["pid"]
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"not for runs" not in environment
    assert os.getsid(pid) == pid
    root = tmp_path / "runs"  # of a service that was started again, which finds what it needs
    assert ProcessLauncher(root).is_there(Launches(root).read("one"))
    metrics = folder / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 2, said)
    state = lambda: http.get("/v1/runs/one").json()["state"]
    wait_for(lambda: state() == "running", state, 10)

    assert http.post("/v1/runs/one/stop", headers=JSON).status_code == 202
    wait_for(lambda: processes.started(pid) is None, said)
    wait_for(lambda: state() == "stopped", state, 10)
    stopped = http.get("/v1/runs/one").json()
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "a zombie", 10)
    step = stopped["checkpoints"][-1]["step"]
    assert "num_steps" in stopped["snippet"]

    ahead = {"num_steps": step + 3}
    resumed = http.post("/v1/runs/one/resume", json=ahead)
    assert resumed.status_code == 202, resumed.text
    wait_for(lambda: run_status.read(folder).state == "succeeded", said)
    wait_for(lambda: state() == "succeeded", state, 20)

    archive = http.get("/v1/runs/one/export")
    assert archive.status_code == 200, archive.text
    assert 'filename="one.zip"' in archive.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(archive.content)) as files:
        files.extractall(tmp_path / "out")
    with jax.numpy_dtype_promotion("standard"):
        optimizer = metaopt.load(tmp_path / "out" / "one", num_steps=4)
        params = {"w": np.ones(3, np.float32)}
        updates, _ = optimizer.update(params, optimizer.init(params), params, value=1.0)
    assert np.all(np.isfinite(optax.apply_updates(params, updates)["w"]))
    assert "no checkpoint" in http.get("/v1/runs/one/export?step=999999").json()["detail"]


@pytest.fixture
def sleeper(tmp_path: Path):
    """A process whose last arguments are those of a run, as one that was never written down."""
    mark = ["--out", str(tmp_path.absolute() / "one")]
    command = [sys.executable, "-c", "import time; time.sleep(60)", *mark]
    with subprocess.Popen(command) as process:
        yield process
        process.kill()


def test_a_process_that_was_not_written_down_is_found(sleeper, tmp_path: Path):
    launcher = ProcessLauncher(tmp_path)
    wait_for(lambda: launcher.is_there(record_of("one")), "not found", 10)
    assert not launcher.is_there(record_of("on"))
    assert launcher.stop(record_of("one"))
    assert sleeper.wait(timeout=10) == -signal.SIGTERM


def test_a_process_with_the_same_id_is_not_taken_for_the_run(sleeper, tmp_path: Path):
    launcher = ProcessLauncher(tmp_path)
    record = record_of("two", pid=sleeper.pid)
    began = processes.started(sleeper.pid)
    assert launcher.is_there(record.model_copy(update={"process_started": began}))
    other = record.model_copy(update={"process_started": began - 1})
    assert not launcher.is_there(other)
    assert not launcher.stop(other)
    assert sleeper.poll() is None


def test_a_process_that_has_ended_is_not_there(sleeper, tmp_path: Path):
    launcher = ProcessLauncher(tmp_path)
    record = record_of("two", pid=sleeper.pid)
    record = record.model_copy(update={"process_started": processes.started(sleeper.pid)})
    sleeper.kill()
    wait_for(lambda: not launcher.is_there(record), "still there", 10)  # though it is a zombie
    assert not launcher.stop(record)
