"""A job on a real Ray cluster: submitted, followed and stopped, and nothing is left behind."""

import contextlib
import datetime
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_run import TINY

from metaopt.client.models import Launch
from workers import cli, run_status
from workers.service import resolution
from workers.service.ray_jobs import RayLauncher
from workers.service.resolved import Limits
from workers.service.store import LaunchFile

ROOT = Path(__file__).parents[2]

LONG = f"""
{TINY}[learner]
num_steps = 1000000
"""


def processes(mark: str) -> list[int]:
    """The processes with `mark` in their command or environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
            if mark.encode() in text and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def wait_for(condition, seconds: float, what: str):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [server.getsockname()[1] for server in held]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a short name: sockets of Ray are in it."""
    with tempfile.TemporaryDirectory(prefix="mo-", dir="/tmp") as path:
        (Path(path) / "ray").mkdir()
        yield Path(path)


@pytest.fixture
def dashboard(temporary: Path) -> Iterator[str]:
    """The address of the dashboard of a cluster of one node."""
    stub = temporary / "bin" / "metaopt"  # on the cluster, it is on the path
    stub.parent.mkdir()
    stub.write_text(f'#!/bin/sh\nexec {sys.executable} -m workers.cli "$@"\n')
    stub.chmod(0o755)
    environment = os.environ | {
        "HOME": str(temporary),
        "PATH": f"{stub.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "RAY_JOB_STOP_WAIT_TIME_S": "60",
        "RAY_TMPDIR": str(temporary),
        "RAY_USAGE_STATS_ENABLED": "0",
        "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", ""),
    }
    port, http, agent = free_ports(3)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"--port={port}", f"--dashboard-port={http}", "--include-dashboard=true"]
    command += [f"--dashboard-agent-listen-port={agent}", "--num-cpus=2"]
    command += ["--object-store-memory=100000000"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as head:
        try:
            yield f"http://127.0.0.1:{http}"
        finally:
            head.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                head.wait(timeout=30)
            for process in processes(str(temporary)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            wait_for(lambda: not processes(str(temporary)), 20, "processes are left")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", http), timeout=1)


def answers(address: str, capsys) -> bool:
    status = cli.main(["status", "--address", address])
    capsys.readouterr()
    return status == 0


@pytest.mark.slow
def test_a_run_is_submitted_followed_and_stopped(dashboard, temporary, capsys):
    end = time.monotonic() + 90
    while not answers(dashboard, capsys):
        if time.monotonic() > end:
            pytest.skip("the dashboard of Ray does not start here")
        time.sleep(0.5)
    (temporary / "run.toml").write_text(LONG)
    run = temporary / "runs" / "quadratic"
    at = ["--address", dashboard]
    submit = ["submit", "--config", str(temporary / "run.toml"), "--out", str(run), "--json", *at]
    assert cli.main(submit) == 0
    submission = json.loads(capsys.readouterr().out)["submission"]

    def logs() -> str:
        cli.main(["logs", submission, *at])
        return capsys.readouterr().out

    metrics = run / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text().count("\n") > 3, 120, logs())
    assert cli.main(["status", submission, "--json", *at]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["status"], status["run"]) == ("RUNNING", str(run))
    assert cli.main(["stop", submission, *at]) == 0
    assert cli.main(["logs", submission, "--follow", *at]) == 0
    shown = capsys.readouterr().out
    assert f"metaopt train --resume {run} goes on" in shown
    assert os.environ["RAY_AUTH_TOKEN"] not in shown
    assert cli.main(["stop", submission, *at]) == 1
    capsys.readouterr()
    assert list((run / "checkpoints").glob("step_*"))
    assert cli.main(["status", submission, "--json", *at]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "STOPPED"
    _check_a_run_of_the_service(dashboard, temporary / "runs")


def _check_a_run_of_the_service(dashboard: str, runs: Path):
    """What `metaopt serve --launcher ray` does, on the same cluster."""
    launcher = RayLauncher(str(runs), dashboard)
    launch = Launch(by="me", at=datetime.datetime.now(datetime.UTC))
    record = launcher.prepared(LaunchFile(run="served", launch=launch))
    assert launcher.is_there(record) is False
    launcher.begin(record, resolution.resolve(LONG, {}, Limits(), "ray").config)
    assert launcher.began(record)
    status = lambda: run_status.read(runs / "served")
    metrics = runs / "served" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_text(), 120, "the run does not begin")
    assert status().submission == record.launch.submission
    assert launcher.is_there(record)
    assert launcher.stop(record)
    wait_for(lambda: status().state == "stopped", 90, "the run does not end")
    wait_for(lambda: launcher.is_there(record) is False, 30, "the job does not end")
    assert "stopped by SIGTERM" in launcher.last_line(record)
