"""Jobs that do not depend on each other, on workers that are interchangeable."""

import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol


class Job(Protocol):
    """Work that can be sent to another process."""

    def run(self) -> Any:
        """Does it; what comes back can be sent, too."""
        ...


class Failed(NamedTuple):
    """What a job has come to that has no result."""

    reason: str  # one line


def finished(
    jobs: Sequence[Job], num_workers: int, address: str | None = None
) -> Iterator[tuple[int, Any]]:
    """Runs all jobs, and yields the index and the outcome of each as it is done.

    An outcome is what the job returned, or `Failed`.
    """
    for index, job in enumerate(jobs):
        yield index, _outcome(job)


def _outcome(job: Job) -> Any:
    try:
        return job.run()
    except Exception as error:
        return Failed(" ".join(traceback.format_exception_only(error)[-1].split()))
