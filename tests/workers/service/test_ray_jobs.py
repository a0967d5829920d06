"""Runs as jobs of a cluster that pretends: what it is sent, and what is said when it is gone."""

import datetime
import shlex

import pytest

from metaopt.client.models import Launch
from taskset.errors import InputError
from workers.jobs import Job
from workers.service import ray_jobs
from workers.service.launcher import Unreachable
from workers.service.ray_jobs import RayLauncher
from workers.service.store import LaunchFile


class FakeJobs:
    """Takes jobs until it is `gone`."""

    def __init__(self) -> None:
        self.sent: dict[str, tuple[str, str, dict[str, str]]] = {}
        self.status: dict[str, str] = {}
        self.gone = False
        self.questions = 0

    def __call__(self, address: str | None) -> "FakeJobs":
        if self.gone:
            raise InputError(f"no Ray dashboard answers at {address}")
        return self

    def submit(self, entrypoint, folder, metadata, submission=None) -> str:
        config = (folder / "metaopt.toml").read_text() if folder else ""
        self.sent[submission] = (entrypoint, config, dict(metadata))
        self.status[submission] = "PENDING"
        return submission

    def all(self) -> list[Job]:
        self.questions += 1
        return [Job(name, status, None, None, "said") for name, status in self.status.items()]

    def stop(self, submission: str) -> bool:
        return self.status.get(submission) == "RUNNING"

    def logs(self, submission: str) -> str:
        return f"first\nlast of {submission}\n\n"


@pytest.fixture
def jobs(monkeypatch) -> FakeJobs:
    monkeypatch.setattr(ray_jobs, "KNOWN_SECONDS", -1.0)
    return FakeJobs()


def launched(launcher: RayLauncher) -> LaunchFile:
    at = datetime.datetime.now(datetime.UTC)
    return launcher.prepared(LaunchFile(run="one", launch=Launch(by="me", at=at)))


def test_a_job_has_a_name_before_it_is_sent_and_our_entry_point(jobs):
    launcher = RayLauncher("/runs/", "http://head:8265", jobs)
    record = launched(launcher)
    name = record.launch.submission
    assert name.startswith("metaopt-one-")
    assert not launcher.began(record)
    assert launcher.begin(record, "seed = 1\n") == record
    entrypoint, config, metadata = jobs.sent[name]
    assert shlex.split(entrypoint) == (
        ["metaopt", "train", "--config", "metaopt.toml", "--out", "/runs/one"]
    )
    assert (config, metadata["run"]) == ("seed = 1\n", "/runs/one")
    assert launcher.began(record)
    assert launcher.is_there(record)


def test_a_run_goes_on_as_a_new_job(jobs):
    launcher = RayLauncher("s3://bucket/runs", None, jobs)
    record = launched(launcher)
    launcher.go_on(record, 7)
    entrypoint, config, _ = jobs.sent[record.launch.submission]
    assert entrypoint == "metaopt resume s3://bucket/runs/one --learner.num-steps 7"
    assert config == ""


@pytest.mark.parametrize(
    ("status", "there"),
    [("PENDING", True), ("RUNNING", True), ("STOPPED", False), ("FAILED", False)],
)
def test_whether_a_job_is_there(status, there, jobs):
    launcher = RayLauncher("/runs", None, jobs)
    record = launcher.begin(launched(launcher), "")
    jobs.status[record.launch.submission] = status
    assert launcher.is_there(record) is there
    assert launcher.stop(record) is (status == "RUNNING")
    assert launcher.last_line(record) == f"last of {record.launch.submission}"


def test_without_a_cluster_nothing_is_known_and_nothing_begins(jobs):
    launcher = RayLauncher("/runs", "http://head:8265", jobs)
    record = launched(launcher)
    jobs.gone = True
    assert launcher.is_there(record) is None
    assert not launcher.began(record)
    assert "no Ray dashboard answers" in launcher.last_line(record)
    for ask in (lambda: launcher.begin(record, ""), lambda: launcher.stop(record)):
        with pytest.raises(Unreachable, match="no Ray dashboard answers at http://head:8265"):
            ask()


def test_a_cluster_that_was_made_anew_knows_no_job_of_the_old_one(jobs):
    launcher = RayLauncher("/runs", None, jobs)
    record = launcher.begin(launched(launcher), "")
    jobs.status.clear()
    assert launcher.is_there(record) is False


def test_many_runs_are_one_question(jobs, monkeypatch):
    monkeypatch.setattr(ray_jobs, "KNOWN_SECONDS", 60.0)
    launcher = RayLauncher("/runs", None, jobs)
    record = launched(launcher)
    assert [launcher.is_there(record) for _ in range(5)] == [False] * 5
    assert jobs.questions == 1
    launcher.begin(record, "")
    assert launcher.is_there(record)  # what was begun is asked for anew
