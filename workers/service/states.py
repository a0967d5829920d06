"""How a run fares, told from what is in its folder and from who is there.

A pure function, so that nothing has to be remembered, and all of it can be put in a table of tests.
"""

import datetime
from typing import NamedTuple

from metaopt.client.models import Action, State
from workers.run_status import RunStatus

OLD_HEARTBEAT = 60.0  # seconds; a run renews it every five
QUIET = 60.0  # without a record; and
QUIET_STEPS = 10.0  # times the longest of the last outer steps
NEVER_BEGAN = "ended before it began to train"
FIRST_STEP = 20 * 60.0  # of which most is to compile
ENDED = {"succeeded": State.SUCCEEDED, "stopped": State.STOPPED, "failed": State.FAILED}
OVER = (*ENDED.values(), State.LOST)
ACTIONS: dict[State, tuple[Action, ...]] = {
    State.PENDING: ("stop",),
    State.RUNNING: ("stop", "scale", "clone", "export"),
    State.STALLED: ("stop", "scale", "clone", "export"),
    State.SUCCEEDED: ("resume", "clone", "export"),
    State.FAILED: ("resume", "clone", "export"),
    State.STOPPED: ("resume", "clone", "export"),
    State.LOST: ("resume", "clone", "export"),
}


class Asked(NamedTuple):
    """What the service was asked to launch."""

    at: float  # when it was last asked to begin or to go on, in seconds since 1970
    submission: str | None = None  # of the Ray job
    cancelled: str = ""  # why it never began, in one line


class Progress(NamedTuple):
    """How far a run is, as its records say."""

    step: int = 0
    num_steps: int | None = None
    written: float | None = None  # when the newest record was; None before the first
    longest: float = 0.0  # seconds of the longest of the last ten outer steps


class Look(NamedTuple):
    """What can be seen of the process or the job of a run."""

    alive: bool | None = None  # None when that cannot be told from here
    held: bool = False  # whether a process holds the lock of the folder
    last_line: str = ""  # of its log, when it is gone


class Found(NamedTuple):
    """A state, and why."""

    state: State
    reason: str = ""


def is_awaited(status: RunStatus | None, asked: Asked | None) -> bool:
    """Whether what was asked for has not begun to train, as far as `status` says."""
    if asked is None or status is None:
        return asked is not None
    if asked.submission and status.submission:  # clocks of two machines differ
        return asked.submission != status.submission
    return status.began < asked.at


def is_heard(status: RunStatus | None, now: float) -> bool:
    """Whether the run itself says how it fares: it has ended, or renewed its heartbeat."""
    if status is None:
        return False
    return status.state in ENDED or now - status.heartbeat < OLD_HEARTBEAT


def derive(
    status: RunStatus | None, asked: Asked | None, progress: Progress, look: Look, now: float
) -> Found:
    """The state of a run at `now`, seconds since 1970."""
    if asked and is_awaited(status, asked):
        if asked.cancelled or (look.alive is False and not look.held):
            return Found(State.FAILED, asked.cancelled or look.last_line or NEVER_BEGAN)
        return Found(State.PENDING)
    if status is None:
        return _without_status(progress, look, now)
    if status.state in ENDED:
        return Found(ENDED[status.state], status.reason)
    return _running(status, progress, look, now)


def _running(status: RunStatus, progress: Progress, look: Look, now: float) -> Found:
    """Of a run that has not said that it ended."""
    heard = is_heard(status, now)
    if not heard and not look.alive and not look.held:
        at = f"{datetime.datetime.fromtimestamp(status.heartbeat, datetime.UTC):%Y-%m-%d %H:%M}"
        return Found(State.LOST, f"said nothing since {at} UTC and is gone; resume it")
    if not heard:
        return Found(State.STALLED, "its process is there and does not run; continue or stop it")
    return _by_progress(progress, status.began, now)


def _by_progress(progress: Progress, began: float, now: float) -> Found:
    """Of a run whose process is there."""
    last = max(began, progress.written or 0.0)
    made_one = progress.written is not None and progress.written >= began
    patience = max(QUIET, QUIET_STEPS * progress.longest) if made_one else FIRST_STEP
    if now - last < patience:
        return Found(State.RUNNING)
    what = "no outer step" if made_one else "not one outer step"
    return Found(State.STALLED, f"{what} for {_duration(now - last)}; see its log, or stop it")


def _without_status(progress: Progress, look: Look, now: float) -> Found:
    """Of a folder that is older than status.json."""
    if progress.num_steps is not None and progress.step >= progress.num_steps:
        return Found(State.SUCCEEDED)
    patience = max(QUIET, QUIET_STEPS * progress.longest)
    if look.held or (progress.written is not None and now - progress.written < patience):
        return Found(State.RUNNING)
    return Found(State.LOST, "is gone and said nothing; resume it")


def _duration(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"
