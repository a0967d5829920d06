"""What a run says of itself while it trains, and how it ended."""

import json
import time

import pytest

from metaopt.client.models import Workers
from taskset.errors import InputError
from workers import run_status
from workers.pool import WorkerView
from workers.run_status import Reporter, reported


class OneWorker:
    """Stands for a pool."""

    @property
    def states(self):
        return {"running": 1}

    def view(self):
        return [WorkerView(0, "quadratic", "running", 42, results=3, lost={"late": 1})]


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.01)


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(run_status, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(run_status, "VIEW_SECONDS", 0.01)
    monkeypatch.setattr(run_status, "REMOTE_SECONDS", 0.01)


def test_its_heart_beats_until_it_ends(tmp_path, fast):
    copies = []
    with reported(tmp_path, OneWorker(), lambda: copies.append(1)) as reporter:
        first = run_status.read(tmp_path)
        until(lambda: run_status.read(tmp_path).heartbeat > first.heartbeat)
        until(lambda: len(copies) > 1)
        assert run_status.read(tmp_path).state == "running"
        reporter.end("stopped", "stopped by\nSIGTERM")
    last = run_status.read(tmp_path)
    assert (last.state, last.reason) == ("stopped", "stopped by SIGTERM")
    assert last.ended == last.heartbeat > first.began
    workers = Workers.model_validate(json.loads((tmp_path / run_status.WORKERS).read_text()))
    assert workers.workers[0].lost == {"late": 1}


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (InputError("the disk is full"), "failed", "the disk is full"),
        (RuntimeError("a bug"), "failed", "RuntimeError: a bug"),
        (KeyboardInterrupt(), "stopped", "interrupted twice"),
    ],
)
def test_an_error_is_said(tmp_path, error, state, reason):
    with pytest.raises(type(error)), reported(tmp_path, OneWorker()):
        raise error
    assert run_status.read(tmp_path).state == state
    assert run_status.read(tmp_path).reason.startswith(reason)


def test_each_time_that_it_goes_on_is_another_attempt(tmp_path):
    for attempt in range(3):
        with reported(tmp_path, OneWorker()) as reporter:
            assert run_status.read(tmp_path).attempt == attempt
            reporter.end("succeeded")


def test_what_cannot_be_written_stops_nothing(tmp_path, fast, caplog):
    def refused():
        raise OSError("the bucket is gone")

    with reported(tmp_path / "missing", OneWorker(), refused) as reporter:
        until(lambda: "the bucket is gone" in caplog.text)
        reporter.end("succeeded")
    assert run_status.read(tmp_path / "missing") is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "running"}', '{"other": 1}'])
def test_a_file_of_another_format_says_nothing(tmp_path, content):
    (tmp_path / run_status.STATUS).write_text(content)
    assert run_status.read(tmp_path) is None


def test_the_submission_of_a_ray_job_is_known(tmp_path, monkeypatch):
    variable = json.dumps({"metadata": {"job_submission_id": "raysubmit_1"}})
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", variable)
    reporter = Reporter(tmp_path, OneWorker())
    reporter.begin()
    reporter.end("succeeded")
    assert run_status.read(tmp_path).submission == "raysubmit_1"
