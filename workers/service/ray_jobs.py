"""Runs as jobs of a Ray cluster, by names that are known before they begin."""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from taskset.errors import InputError
from workers import job_submission
from workers.job_submission import Begun, Resumed
from workers.jobs import Job, Jobs
from workers.service.launcher import TAIL_BYTES, Launcher, Unreachable
from workers.service.store import LaunchFile

T = TypeVar("T")
ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
KNOWN_SECONDS = 2.0  # that an answer of the cluster is good for


class RayLauncher(Launcher):
    """The cluster may come and go: it is asked anew each time, and runs outlive what is known."""

    kind = "ray"

    def __init__(self, root: str, address: str | None = None, jobs: Callable[..., Jobs] = Jobs):
        """`root` is where the runs are, on the cluster; `address` as for `Jobs`."""
        self._root, self._address, self._jobs = root.rstrip("/"), address, jobs
        self._lock = threading.Lock()
        self._known: Mapping[str, Job] | None = None  # None while the cluster does not answer
        self._asked_at = -KNOWN_SECONDS

    def prepared(self, record: LaunchFile) -> LaunchFile:
        submission = f"metaopt-{record.run}-{secrets.token_hex(4)}"
        launch = record.launch.model_copy(update={"submission": submission, "pid": None})
        return record.model_copy(update={"launch": launch, "process_started": None})

    def begin(self, record: LaunchFile, config: str) -> LaunchFile:
        return self._submit(record, Begun(record.command, config, self._folder(record)))

    def go_on(self, record: LaunchFile, num_steps: int | None) -> LaunchFile:
        return self._submit(record, Resumed(self._folder(record), num_steps))

    def is_there(self, record: LaunchFile) -> bool | None:
        jobs = self._all()
        if jobs is None:
            return None
        job = jobs.get(record.launch.submission or "")
        return job is not None and job.status not in ENDED

    def began(self, record: LaunchFile) -> bool:
        jobs = self._all()
        return jobs is not None and record.launch.submission in jobs

    def stop(self, record: LaunchFile) -> bool:
        submission = record.launch.submission
        return submission is not None and self._asked(lambda jobs: jobs.stop(submission))

    def log(self, record: LaunchFile) -> str:
        submission = record.launch.submission
        try:
            return self._asked(lambda j: j.logs(submission))[-TAIL_BYTES:] if submission else ""
        except Unreachable as error:
            return str(error)

    def _submit(self, record: LaunchFile, run: Begun | Resumed) -> LaunchFile:
        submission = record.launch.submission
        self._asked(lambda jobs: job_submission.submit(jobs, run, submission=submission))
        self._asked_at = -KNOWN_SECONDS
        return record

    def _all(self) -> Mapping[str, Job] | None:
        with self._lock:
            if time.monotonic() - self._asked_at > KNOWN_SECONDS:
                try:
                    found = self._asked(lambda jobs: jobs.all())
                    self._known = {job.submission: job for job in found}
                except Unreachable:
                    self._known = None
                self._asked_at = time.monotonic()
            return self._known

    def _folder(self, record: LaunchFile) -> str:
        return f"{self._root}/{record.run}"

    def _asked(self, question: Callable[[Jobs], T]) -> T:
        try:
            return question(self._jobs(self._address))
        except InputError as error:  # requests have checked all that is theirs to put right
            raise Unreachable(str(error)) from error
