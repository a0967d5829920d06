"""Runs as jobs of a Ray cluster, by names that are known before they begin."""

import dataclasses
import secrets
from collections.abc import Callable
from typing import TypeVar

from taskset.errors import InputError
from workers import job_submission
from workers.base_config import BaseConfig
from workers.job_submission import Begun, Resumed
from workers.jobs import Jobs
from workers.service.launcher import TAIL_BYTES, Launcher, Life, Liveness, Unreachable
from workers.service.launches import LaunchRecord

T = TypeVar("T")
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")


class RayLauncher(Launcher):
    """The cluster may come and go: it is asked anew each time, and a run outlives what is said."""

    kind = "ray"

    def __init__(self, root: str, address: str | None = None, jobs: Callable[..., Jobs] = Jobs):
        """`root` is where the runs are, on the cluster; `address` as for `Jobs`."""
        self._root, self._address, self._jobs = root.rstrip("/"), address, jobs

    def placed(self, settings: BaseConfig) -> BaseConfig:
        """On the cluster that the job is a part of."""
        workers = dataclasses.replace(settings.workers, pool="ray", address="auto")
        return dataclasses.replace(settings, workers=workers)

    def prepared(self, record: LaunchRecord) -> LaunchRecord:
        submission = f"metaopt-{record.run}-{secrets.token_hex(4)}"
        launch = record.launch.model_copy(update={"submission": submission, "pid": None})
        return record.model_copy(update={"launch": launch, "process_started": None})

    def begin(self, record: LaunchRecord, settings: BaseConfig) -> LaunchRecord:
        return self._submit(record, Begun(record.command, settings, self._folder(record)))

    def go_on(self, record: LaunchRecord, num_steps: int | None) -> LaunchRecord:
        return self._submit(record, Resumed(self._folder(record), num_steps))

    def liveness(self, record: LaunchRecord) -> Liveness:
        submission = record.launch.submission
        if submission is None:
            return Liveness(Life.NEVER)
        try:
            found = {job.submission: job for job in self._asked(lambda jobs: jobs.all())}
        except Unreachable as error:
            return Liveness(Life.UNKNOWN, str(error))
        job = found.get(submission)
        if job is None:
            return Liveness(Life.NEVER, f"the Ray cluster knows no job {submission}")
        ended = job.status in ENDED
        return Liveness(Life.ENDED if ended else Life.ALIVE, job.message or "")

    def stop(self, record: LaunchRecord) -> bool:
        submission = record.launch.submission
        return submission is not None and self._asked(lambda jobs: jobs.stop(submission))

    def log(self, record: LaunchRecord) -> str:
        submission = record.launch.submission
        try:
            return self._asked(lambda j: j.logs(submission))[-TAIL_BYTES:] if submission else ""
        except Unreachable:
            return ""

    def _submit(self, record: LaunchRecord, run: Begun | Resumed) -> LaunchRecord:
        submission = record.launch.submission
        self._asked(lambda jobs: job_submission.submit(jobs, run, submission=submission))
        return record

    def _folder(self, record: LaunchRecord) -> str:
        return f"{self._root}/{record.run}"

    def _asked(self, question: Callable[[Jobs], T]) -> T:
        try:
            return question(self._jobs(self._address))
        except InputError as error:  # requests have checked all that is theirs to put right
            raise Unreachable(str(error)) from error
