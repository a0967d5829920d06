"""`metaopt status`, `logs` and `stop`: jobs that `metaopt submit` started."""

import dataclasses
import json
from typing import Annotated

import tyro

from workers.commands.table import print_record, print_records

Submission = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SUBMISSION")]

NOT_RUNNING = 1


@dataclasses.dataclass(frozen=True)
class Status:
    """Shows the jobs of a Ray cluster, or one of them.

    Exit status: 0; 1 when the one job failed; 2 when there is no such job or no cluster.
    """

    submission: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="SUBMISSION")] = (
        None
    )
    address: str | None = None  # of the dashboard; http://127.0.0.1:8265 by default
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints one row per job, or one per fact."""
        from workers.jobs import Jobs

        jobs = Jobs(self.address)
        if self.submission is None:
            print_records([job._asdict() for job in jobs.all()], self.json)
            return 0
        job = jobs.one(self.submission)
        print_record(job._asdict(), self.json)
        return job.exit_code


@dataclasses.dataclass(frozen=True)
class Logs:
    """Prints what a job has printed.

    Exit status: 0; 1 when the job failed; 2 when there is no such job or no cluster.
    """

    submission: Submission
    follow: bool = False  # go on until the job ends
    address: str | None = None  # of the dashboard; http://127.0.0.1:8265 by default
    json: bool = False  # print JSON; with --follow, an object for each piece

    def run(self) -> int:
        """Prints the logs."""
        from workers.jobs import Jobs

        jobs = Jobs(self.address)
        if self.follow:
            jobs.follow(self.submission, self._show)
        else:
            self._show(jobs.logs(self.submission))
        return jobs.one(self.submission).exit_code

    def _show(self, text: str) -> None:
        if self.json:
            print(json.dumps({"submission": self.submission, "text": text}), flush=True)
        else:
            print(text, end="", flush=True)


@dataclasses.dataclass(frozen=True)
class Stop:
    """Asks a job to end after the outer step in progress, with a checkpoint.

    Ray ends it for good after 3 seconds, unless the cluster was started with a larger
    RAY_JOB_STOP_WAIT_TIME_S, as those of deploy/ are.

    Exit status: 0; 1 when the job had ended already; 2 when there is no such job or no cluster.
    """

    submission: Submission
    address: str | None = None  # of the dashboard; http://127.0.0.1:8265 by default
    json: bool = False  # print JSON

    def run(self) -> int:
        """Prints whether there was something to stop."""
        from workers.jobs import Jobs

        stopping = Jobs(self.address).stop(self.submission)
        print_record({"submission": self.submission, "stopping": stopping}, self.json)
        return 0 if stopping else NOT_RUNNING
