"""How a worker in another process fares, and for how long it is waited for.

    restarting --answers--> running --overdue--> suspect --answers--> running
        ^                      |                    |
        |                      +------ dies, raises, gives no answer, answers nonsense
        |                                           |
        +---- quarantined <-- (several in a row) <--+

A worker that a run can do without for now is released: it has no process, and takes no core.

A suspect is asked for a sign of life, which a worker in the middle of an estimate gives: one that
is slow keeps its state, and one that is frozen or cut off is replaced long before its deadline.
"""

import collections
import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

State: TypeAlias = Literal["running", "suspect", "restarting", "quarantined", "released"]
STATES: tuple[State, ...] = get_args(State)

MAX_FAILURES = 5  # in a row; then to start a worker again is no cure
FREE_FAILURES = 2  # in a row; after them a replacement waits


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a worker that does not answer is waited for, in seconds.

    *typical* is the median of its last estimates, or what a `Seat` is told that it is.
    """

    suspicion_factor: float = 3.0  # times typical,
    suspicion_slack: float = 20.0  # plus this: it is asked for a sign of life
    probe: float = 60.0  # for that sign
    factor: float = 10.0  # times typical,
    slack: float = 60.0  # plus this: it is given up though it lives. A deadlock shows only so
    first: float = 1200.0  # for its first two estimates, of which one compiles
    start: float = 600.0  # for the workers of a pool to start
    quarantine: float = 1.0  # after three failures in a row, and twice as long after each more
    longest_quarantine: float = 600.0


class Call(NamedTuple):
    """What a worker is busy with. Times are on the monotonic clock."""

    method: str  # of `WorkerHost.call`
    outer_step: int  # of the weights when it was made
    began: float
    suspicious: float  # when a sign of life is asked for
    due: float  # when it is given up


class Seat:
    """The place of one worker in a pool, whichever process sits there."""

    def __init__(
        self,
        patience: Patience,
        # Of the seconds of two estimates, of which one compiled, the low median is the other's.
        typical: Callable[[Sequence[float]], float] = statistics.median_low,
    ):
        self.state: State = "restarting"
        self.call: Call | None = None
        self.probe_due = math.inf  # of a probe on its way
        self.until = math.inf  # of a quarantine
        self.failures = 0  # since the last result
        self.results = 0  # of all processes that sat here
        self._patience, self._typical = patience, typical
        self._seconds = collections.deque[float](maxlen=32)  # of estimates of this process

    def starts(self) -> None:
        """A new process sits down."""
        self.state, self.until, self.probe_due = "restarting", math.inf, math.inf
        self._seconds.clear()

    def is_left(self) -> None:
        """The process goes, and none comes."""
        self.state, self.call = "released", None
        self.until, self.probe_due = math.inf, math.inf

    def begins(self, method: str, outer_step: int, now: float) -> None:
        """The worker is called."""
        patience, seconds = self._patience, self._seconds
        suspicious, due = now + patience.suspicion_slack, now + patience.first
        if method == "start":
            suspicious = due = math.inf  # it may wait for a machine, and keeps nobody waiting
        elif method in {"compute", "run"} and len(seconds) >= 2:
            suspicious += patience.suspicion_factor * self.typical
            due = now + patience.factor * self.typical + patience.slack
        self.call = Call(method, outer_step, now, suspicious, due)

    def answers(self) -> Call:
        """The call is over; returns it."""
        assert self.call is not None
        call, self.call = self.call, None
        self.state, self.probe_due = "running", math.inf
        return call

    def delivers(self, seconds: float) -> None:
        """What it computed is a result, which took `seconds`."""
        self._seconds.append(seconds)
        self.failures, self.results = 0, self.results + 1

    def shows_life(self, now: float) -> None:
        """A probe came back: the next one goes out after as long again."""
        if self.call is not None:
            self.call = self.call._replace(suspicious=now + self._patience.suspicion_slack)
        self.probe_due = math.inf

    def is_suspected(self, now: float) -> bool:
        """Whether it is time for a probe; then the worker is a suspect."""
        if self.call is None or now < self.call.suspicious or self.probe_due < math.inf:
            return False
        self.state, self.probe_due = "suspect", now + self._patience.probe
        return True

    def is_overdue(self, now: float) -> bool:
        """Whether the worker is to be given up."""
        return self.call is not None and (now > self.call.due or now > self.probe_due)

    def fails(self, now: float) -> bool:
        """Counts a failure. Returns whether the seat is in quarantine now, until `until`."""
        self.failures += 1
        surplus = self.failures - FREE_FAILURES
        if surplus <= 0:
            return False
        patience = self._patience
        seconds = min(patience.quarantine * 2.0 ** (surplus - 1), patience.longest_quarantine)
        self.state, self.until = "quarantined", now + seconds
        return True

    @property
    def typical(self) -> float:
        """Seconds of an estimate; not a number before there is one."""
        # Copied, for another thread may add one meanwhile.
        return self._typical(self._seconds.copy() or [math.nan])

    @property
    def is_hopeless(self) -> bool:
        """Whether it failed so often in a row that something there is broken."""
        return self.failures >= MAX_FAILURES


def check_hope(seats: Sequence[Seat], min_workers: int, reason: str) -> None:
    """Raises `RuntimeError` when too many workers are beyond hope; `reason` is that of the last.

    A run cannot lose a worker that never gave a result unless it can do with fewer; of those
    that did, it takes one to go on.
    """
    hopeless = [seat for seat in seats if seat.is_hopeless]
    never = any(not seat.results for seat in hopeless)
    needed = min_workers if never else 1
    if len(seats) - len(hopeless) < needed:
        raise RuntimeError(
            f"{len(hopeless)} of {len(seats)} workers were started {MAX_FAILURES} times "
            f"and gave no result; the last time: {reason}"
        )
