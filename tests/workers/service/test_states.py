import datetime
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metaopt.client.models import State
from workers import run_status
from workers.run_status import RunStatus
from workers.service import liveness
from workers.service.files import LocalFiles
from workers.service.liveness import LocalLiveness, is_held, is_running
from workers.service.states import ACTIONS, Asked, Look, Progress, derive

NOW = 1_000_000.0
HERE, GONE, UNKNOWN, HELD = Look(True), Look(False), Look(None), Look(None, held=True)
SAYS = RunStatus("running", began=NOW - 5000, heartbeat=NOW - 5)
QUIET = RunStatus("running", began=NOW - 5000, heartbeat=NOW - 61)
FAST, SLOW = Progress(5, 10, NOW - 30, 1.0), Progress(5, 10, NOW - 500, 100.0)
STUCK, NONE = Progress(5, 10, NOW - 61, 6.0), Progress()
ASKED = Asked(NOW - 10)

CASES = {
    "launched, nothing yet": (None, ASKED, NONE, HERE, "pending"),
    "launched, who knows": (None, ASKED, NONE, UNKNOWN, "pending"),
    "launched, gone": (None, ASKED, NONE, GONE, "failed"),
    "launched, gone, and its child trains": (None, ASKED, NONE, Look(False, True), "pending"),
    "goes on, not begun": (SAYS, Asked(NOW - 2), FAST, HERE, "pending"),
    "goes on, old end": (
        RunStatus("failed", NOW - 5000, NOW - 900, ended=NOW - 900),
        ASKED,
        FAST,
        HERE,
        "pending",
    ),
    "launched long ago": (SAYS, Asked(NOW - 6000), FAST, HERE, "running"),
    "its own job, by another clock": (
        SAYS._replace(submission="a"),
        Asked(NOW, "a"),
        FAST,
        HERE,
        "running",
    ),
    "an earlier job": (
        SAYS._replace(submission="a"),
        Asked(NOW - 6000, "b"),
        FAST,
        HERE,
        "pending",
    ),
    "trains": (SAYS, None, FAST, UNKNOWN, "running"),
    "long steps": (SAYS, None, SLOW, UNKNOWN, "running"),
    "no record for too long": (SAYS, None, STUCK, UNKNOWN, "stalled"),
    "no record for ten of its steps": (SAYS, None, SLOW._replace(longest=49.0), HERE, "stalled"),
    "compiles": (SAYS._replace(began=NOW - 1100), None, NONE, UNKNOWN, "running"),
    "compiles for ever": (SAYS._replace(began=NOW - 1300), None, NONE, UNKNOWN, "stalled"),
    "compiles again": (SAYS._replace(began=NOW - 100), None, SLOW, UNKNOWN, "running"),
    "stopped by a signal": (QUIET, None, FAST, HERE, "stalled"),
    "silent, the folder is held": (QUIET, None, FAST, HELD, "stalled"),
    "silent and gone": (QUIET, None, FAST, GONE, "lost"),
    "silent, elsewhere": (QUIET, None, FAST, UNKNOWN, "lost"),
    "done": (RunStatus("succeeded", 0, 1), None, FAST, GONE, "succeeded"),
    "failed": (RunStatus("failed", 0, 1), None, FAST, GONE, "failed"),
    "stopped": (RunStatus("stopped", 0, 1), None, FAST, HELD, "stopped"),
    "old folder, done": (None, None, Progress(10, 10, 5.0), UNKNOWN, "succeeded"),
    "old folder, held": (None, None, Progress(5, 10, 5.0), HELD, "running"),
    "old folder, fresh": (None, None, FAST, UNKNOWN, "running"),
    "old folder, slow": (None, None, SLOW, UNKNOWN, "running"),
    "old folder, quiet": (None, None, STUCK, UNKNOWN, "lost"),
    "old folder, empty": (None, None, Progress(0, 10), UNKNOWN, "lost"),
    "unreadable": (None, None, Progress(5, None, 5.0), UNKNOWN, "lost"),
}


@pytest.mark.parametrize("status,asked,progress,look,state", CASES.values(), ids=CASES)
def test_the_state_is_what_can_be_seen(status, asked, progress, look, state):
    found = derive(status, asked, progress, look, NOW)
    assert found.state == state
    wants_reason = found.state in (State.STALLED, State.LOST) or (asked and state == "failed")
    assert bool(found.reason) == bool(wants_reason)
    assert "\n" not in found.reason


def test_why_it_failed_is_what_it_said():
    assert derive(RunStatus("failed", 0, 1, reason="why"), None, FAST, GONE, NOW).reason == "why"
    gone = Look(False, last_line="metaopt: error: no")
    assert derive(None, ASKED, NONE, gone, NOW).reason == "metaopt: error: no"


def test_every_state_says_what_can_be_done():
    assert set(ACTIONS) == set(State)


GOOD = {"state": "running", "began": 1, "heartbeat": 2.5, "host": "h", "pid": 7, "attempt": 1}


def test_a_status_is_read_as_it_was_written():
    found = run_status.parse({**GOOD, "reason": " a\n b ", "ended": None, "submission": None})
    assert found == RunStatus("running", 1.0, 2.5, 1, "h", 7, None, "a b", None)


@pytest.mark.parametrize(
    "change", [{"state": "resting"}, {"began": None}, {"heartbeat": "x"}, {"pid": [1]}]
)
def test_what_is_no_status_is_none(change):
    assert run_status.parse({**GOOD, **change}) is None
    assert run_status.parse(None) is None


def test_a_lock_is_seen_and_not_taken(tmp_path: Path):
    lock = tmp_path / ".lock"
    assert not is_held(lock)
    with lock.open("a") as file:
        assert not is_held(lock)
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_held(lock)
    assert not is_held(lock)


def test_a_process_is_known_by_its_number_and_its_beginning():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    now = time.time()
    assert is_running(child.pid, now)
    assert not is_running(child.pid, now - 100)  # one of that number began later
    child.stdin.close()
    while (Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]) != "Z":
        time.sleep(0.01)
    assert not is_running(child.pid, now)
    child.wait(timeout=10)
    assert not is_running(child.pid, now)


def test_processes_of_other_machines_are_not_looked_for(tmp_path: Path):
    local = LocalLiveness(LocalFiles(tmp_path))
    mine = RunStatus("running", time.time(), 0, host=liveness.platform.node(), pid=os.getpid())
    assert local.look("one", mine, None) == Look(True)
    assert local.look("one", mine._replace(host="elsewhere"), None) == Look(None)
    assert local.look("one", None, None) == Look(None)


def test_a_time_is_in_the_reason():
    reason = derive(QUIET, None, FAST, GONE, NOW).reason
    at = datetime.datetime.fromtimestamp(QUIET.heartbeat, datetime.UTC)
    assert f"{at:%Y-%m-%d %H:%M}" in reason
