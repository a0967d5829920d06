"""Commands for jobs, against a server on this machine that answers as Ray's dashboard does."""

import io
import json
import os
import socket
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from workers import cli, jobs

JOB = {
    "type": "SUBMISSION",
    "submission_id": "raysubmit_1",
    "status": "RUNNING",
    "entrypoint": "metaopt train",
    "message": "Job is currently running.\nand so on",
    "start_time": 1_000_000,
    "end_time": 1_090_000,
    "metadata": {"run": "/runs/digits"},
}
TINY = """
tasks = ["quadratic:dim=2"]
[estimator]
num_tasks = 2
truncation = 2
horizon.steps = 4
"""


class Dashboard(ThreadingHTTPServer):
    """Answers what `answers` says, by method and path; keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token = os.environ["RAY_AUTH_TOKEN"]
        self.answers: dict[str, tuple[int, object]] = {
            "GET /api/version": (200, {"ray_version": "2.60.0", "version": "4"}),
            "GET /api/jobs/": (200, [JOB, JOB | {"submission_id": None}]),
            "GET /api/jobs/raysubmit_1": (200, JOB),
            "GET /api/jobs/raysubmit_1/logs": (200, {"logs": "outer step 1\n"}),
            "POST /api/jobs/raysubmit_1/stop": (200, {"stopped": True}),
            "POST /api/jobs/": (200, {"submission_id": "raysubmit_1", "job_id": "raysubmit_1"}),
        }
        self.sent: dict[str, bytes] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Dashboard

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        question = f"{self.command} {self.path}"
        self.server.sent[question] = self.rfile.read(length)
        status, answer = self.server.answers.get(question, (404, f"no {self.path}"))
        if self.command == "PUT":
            status, answer = 200, "taken"
        token = self.headers.get("Authorization")
        if token != f"Bearer {self.server.token}":
            status, answer = (403, "wrong token") if token else (401, "no token")
        body = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, *arguments: object) -> None:
        del arguments


@pytest.fixture
def dashboard(monkeypatch, tmp_path: Path) -> Iterator[Dashboard]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(TINY)
    with Dashboard() as server:
        monkeypatch.setenv("RAY_API_SERVER_ADDRESS", server.address)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def refused(arguments: list[str], capsys) -> str:
    assert cli.main(arguments) == cli.USAGE_ERROR
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert os.environ["RAY_AUTH_TOKEN"] not in shown.err
    return shown.err


def test_status_lists_jobs_and_shows_one(dashboard, capsys):
    assert cli.main(["status", "--json"]) == 0
    expected = {
        "submission": "raysubmit_1",
        "status": "RUNNING",
        "run": "/runs/digits",
        "seconds": 90.0,
        "message": "Job is currently running.",
    }
    assert json.loads(capsys.readouterr().out) == [expected]
    assert cli.main(["status", "raysubmit_1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected


def test_a_job_that_failed_is_in_the_exit_status(dashboard, capsys):
    dashboard.answers["GET /api/jobs/raysubmit_1"] = (200, JOB | {"status": "FAILED"})
    assert cli.main(["status", "raysubmit_1"]) == 1
    assert cli.main(["logs", "raysubmit_1"]) == 1
    assert "outer step 1" in capsys.readouterr().out


def test_stop_says_whether_there_was_something_to_stop(dashboard, capsys):
    assert cli.main(["stop", "raysubmit_1"]) == 0
    dashboard.answers["POST /api/jobs/raysubmit_1/stop"] = (200, {"stopped": False})
    assert cli.main(["stop", "raysubmit_1", "--json"]) == 1
    assert '"stopping": false' in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "logs", "stop"])
def test_a_job_that_does_not_exist(command: str, dashboard, capsys):
    assert "no job 'raysubmit_2'" in refused([command, "raysubmit_2"], capsys)


def test_a_token_that_is_wrong(dashboard, capsys):
    dashboard.token = "another"
    assert "refuses the token; set RAY_AUTH_MODE=token" in refused(["status"], capsys)


def test_a_token_that_is_missing(dashboard, capsys):
    dashboard.answers["GET /api/version"] = (401, "no token")
    assert "asks for a token; set RAY_AUTH_MODE=token" in refused(["status"], capsys)


def test_an_error_of_the_server_is_its_last_line(dashboard, capsys):
    dashboard.answers["GET /api/jobs/"] = (500, "Traceback\n  File x\nOSError: disk full.")
    assert "says: OSError: disk full\n" in refused(["status"], capsys)


def test_no_server(dashboard, capsys):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    assert f"no Ray dashboard answers at {address}" in refused(
        ["status", "--address", address], capsys
    )


def test_a_server_that_says_nothing(monkeypatch, capsys):
    monkeypatch.setattr(jobs, "ANSWER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "no Ray dashboard answers" in refused(["status", "--address", address], capsys)


def test_an_address_names_no_module(capsys):
    assert "must be that of the dashboard" in refused(["status", "--address", "os://x"], capsys)


def test_the_flag_wins_over_the_environment(dashboard, monkeypatch, capsys):
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    assert cli.main(["status", "--address", dashboard.address]) == 0
    assert os.environ["RAY_API_SERVER_ADDRESS"] == "http://127.0.0.1:1"


SUBMIT = ["submit", "--config", "run.toml", "--out", "/runs/a run"]


def test_submit_sends_the_whole_configuration_and_nothing_else(dashboard, capsys):
    assert cli.main([*SUBMIT, "--workers", "3", "--estimator.num-tasks=5", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    entrypoint = "metaopt train --config metaopt.toml --out '/runs/a run'"
    assert (shown["submission"], shown["entrypoint"]) == ("raysubmit_1", entrypoint)
    asked = json.loads(dashboard.sent["POST /api/jobs/"])
    assert asked["entrypoint"] == entrypoint
    assert asked["metadata"]["run"] == "/runs/a run"
    assert asked["runtime_env"].keys() <= {"working_dir", "_ray_commit"}
    (package,) = (body for name, body in dashboard.sent.items() if name.startswith("PUT"))
    with zipfile.ZipFile(io.BytesIO(package)) as files:
        assert files.namelist() == ["metaopt.toml"]
        table = tomllib.loads(files.read("metaopt.toml").decode())
    assert (table["workers"]["number"], table["workers"]["address"]) == (3, "auto")
    assert (table["workers"]["pool"], table["estimator"]["num_tasks"]) == ("ray", 5)
    assert not any(dashboard.token.encode() in body for body in dashboard.sent.values())


def test_files_that_the_configuration_names_go_along(dashboard, tmp_path, capsys):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "family.py").touch()
    (tmp_path / "work" / ".env").write_text("secret")
    assert cli.main([*SUBMIT, "--working-dir", "work", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left out"] == [".env"]
    (package,) = (body for name, body in dashboard.sent.items() if name.startswith("PUT"))
    with zipfile.ZipFile(io.BytesIO(package)) as files:
        assert sorted(files.namelist()) == ["family.py", "metaopt.toml"]


def test_a_job_may_be_named_before_it_is_sent(dashboard):
    jobs.Jobs(dashboard.address).submit("metaopt resume x", None, {}, "mine")
    assert json.loads(dashboard.sent["POST /api/jobs/"])["submission_id"] == "mine"


def test_a_run_folder_may_be_a_url(dashboard, capsys):
    assert cli.main(["submit", "--config", "run.toml", "--out", "s3://bucket/x"]) == 0
    entrypoint = json.loads(dashboard.sent["POST /api/jobs/"])["entrypoint"]
    assert entrypoint == "metaopt train --config metaopt.toml --out s3://bucket/x"


def test_a_run_goes_on_by_its_own_configuration(dashboard, capsys):
    assert cli.main(["submit", "--resume", "/runs/x"]) == 0
    asked = json.loads(dashboard.sent["POST /api/jobs/"])
    assert asked["entrypoint"] == "metaopt resume /runs/x"
    assert "working_dir" not in asked["runtime_env"]
    assert "metaopt logs raysubmit_1 --follow" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["submit", "--config", "run.toml"], "--out is ''; give the whole path"),
        (["submit", "--config", "run.toml", "--out", "runs/x"], "--out is 'runs/x'"),
        ([*SUBMIT, "--workers", "0"], "workers.number is 0"),
        ([*SUBMIT, "--estimator.num-taks", "3"], "did you mean --estimator.num-tasks?"),
        ([*SUBMIT, "--workers.pool", "process"], "leave out where they are"),
        ([*SUBMIT, "--dry_run"], "--dry-run and --step are not for a job"),
        ([*SUBMIT, "--resume", "/runs/y"], "leave out the other flags"),
        (["submit", "--resume", "runs/latest"], "--resume is 'runs/latest'"),
        ([*SUBMIT, "--working-dir", "nowhere"], "--working-dir nowhere is not a folder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(flags, message, dashboard, capsys):
    assert message in refused(flags, capsys)
    assert not any(name.startswith(("PUT", "POST")) for name in dashboard.sent)


def test_submit_has_a_help(capsys):
    with pytest.raises(SystemExit) as done:
        cli.main(["submit", "--help"])
    assert not done.value.code
    assert "--working-dir" in capsys.readouterr().out


def test_logs_into_a_pipe_that_is_closed(dashboard, monkeypatch):
    async def tail(self, submission):
        yield "outer step 1"

    def show(text: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("ray.job_submission.JobSubmissionClient.tail_job_logs", tail)
    with pytest.raises(BrokenPipeError):  # which `metaopt` takes for the end
        jobs.Jobs().follow("raysubmit_1", show)
