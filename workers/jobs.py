"""Ray's Jobs API: what it says, and one line for whatever can go wrong with it.

The address is that of the dashboard, http://host:8265. The token comes from the environment or a
file, as for all of Ray: RAY_AUTH_MODE=token with RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or
~/.ray/auth_token.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from taskset.errors import InputError

ADDRESS = "http://127.0.0.1:8265"
VARIABLE = "RAY_API_SERVER_ADDRESS"
ANSWER_SECONDS = 60.0

RAN, FAILED = 0, 1  # exit codes for a job that ended


class Job(NamedTuple):
    """What is known of a job."""

    submission: str
    status: str  # PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED
    run: str | None  # the run folder on the cluster
    seconds: float | None  # that it has run, or ran
    message: str | None

    @property
    def exit_code(self) -> int:
        """1 when the job failed."""
        return FAILED if self.status == "FAILED" else RAN


class Jobs:
    """The jobs of one Ray cluster. Methods raise `InputError` for what their user can put right."""

    def __init__(self, address: str | None = None):
        """`address` is by default that of RAY_API_SERVER_ADDRESS, or of this machine."""
        self._address = _checked(address or os.environ.get(VARIABLE, ADDRESS))
        self._client = self._asked(lambda: _client(self._address))

    def submit(
        self,
        entrypoint: str,
        folder: Path | None,
        metadata: Mapping[str, str],
        submission: str | None = None,
    ) -> str:
        """Starts `entrypoint` on the cluster, in a copy of `folder`; returns the submission.

        It is called `submission`, which has to be new there, or as Ray likes.
        """
        environment = {"working_dir": str(folder)} if folder else {}
        return self._asked(
            lambda: self._client.submit_job(
                entrypoint=entrypoint,
                runtime_env=environment,
                metadata=dict(metadata),
                submission_id=submission,
            )
        )

    def all(self) -> list[Job]:
        """The jobs that were submitted, the newest last."""
        found = self._asked(self._client.list_jobs)
        submitted = [details for details in found if details.submission_id]
        return [_job(d) for d in sorted(submitted, key=lambda d: d.start_time or 0)]

    def one(self, submission: str) -> Job:
        """The job of a submission."""
        return _job(self._asked(lambda: self._client.get_job_info(submission), submission))

    def logs(self, submission: str) -> str:
        """All that the job has printed so far."""
        return self._asked(lambda: self._client.get_job_logs(submission), submission)

    def follow(self, submission: str, show: Callable[[str], None]) -> None:
        """Calls `show` with whatever the job prints, until it ends."""

        async def tail() -> None:
            async for text in self._client.tail_job_logs(submission):
                show(text)

        self.one(submission)  # says clearly when there is none
        self._asked(lambda: asyncio.run(tail()), submission)

    def stop(self, submission: str) -> bool:
        """Asks the job to end, which saves a checkpoint first. False when it had ended already."""
        return self._asked(lambda: self._client.stop_job(submission), submission)

    def _asked(self, question: Callable[[], Any], submission: str = "") -> Any:
        with _one_line(self._address, submission):
            return question()


def _checked(address: str) -> str:
    """`address` with a scheme. Of any other scheme, Ray would import a module of that name."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        scheme, rest = "http", address
    if scheme not in ("http", "https") or not rest:
        raise InputError(
            f"--address is {address!r}; it must be that of the dashboard, such as {ADDRESS}"
        )
    return f"{scheme}://{rest.rstrip('/')}"


def _client(address: str) -> Any:
    from ray.job_submission import JobSubmissionClient

    class Client(JobSubmissionClient):
        """With an end to waiting, which Ray's own has not."""

        def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
            options.setdefault("timeout", ANSWER_SECONDS)
            return super()._do_request(method, endpoint, **options)

    logging.getLogger("ray").setLevel(logging.WARNING)  # it tells of every package that it sends
    # Ray prefers the variable, and RAY_ADDRESS, to what it is given.
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = address
    try:
        return Client(address)
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


@contextmanager
def _one_line(address: str, submission: str) -> Iterator[None]:
    """Turns the errors of Ray's client, pages long some of them, into `InputError`."""
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except BrokenPipeError:  # of whoever reads the logs
        raise
    except AuthenticationError as error:
        raise InputError(_refused(address, str(error))) from error
    except (OSError, requests.RequestException, aiohttp.ClientError) as error:
        raise InputError(
            f"no Ray dashboard answers at {address}; use --address http://HOST:8265, or bring it "
            "here with `ray dashboard`, ssh -L or kubectl port-forward"
        ) from error
    except RuntimeError as error:
        if submission and "status code 404" in str(error):
            raise InputError(
                f"no job {submission!r} at {address}; `metaopt status` lists the jobs"
            ) from error
        raise InputError(f"the Ray cluster at {address} says: {_last_line(str(error))}") from error


def _refused(address: str, error: str) -> str:
    where = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
    if error.startswith("Authentication failed"):
        return f"the Ray cluster at {address} refuses the token; {where} to those of the cluster"
    return f"the Ray cluster at {address} asks for a token; {where}"


def _last_line(error: str) -> str:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "nothing"


def _job(details: Any) -> Job:
    seconds = None
    if details.start_time:
        end = details.end_time / 1000 if details.end_time else time.time()
        seconds = end - details.start_time / 1000
    message = (details.message or "").splitlines()
    return Job(
        submission=details.submission_id,
        status=details.status.value,
        run=(details.metadata or {}).get("run"),
        seconds=seconds,
        message=message[0] if message else None,
    )
