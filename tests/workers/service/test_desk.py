"""The process beside the service: it answers, and is replaced when it is lost."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from taskset.errors import InputError
from workers.service import questions
from workers.service.desk import MAX_WAITING, Desk
from workers.service.problems import Refusal
from workers.service.resolved import BadOverrides, Limits


@pytest.fixture(scope="module")
def desk():
    found = Desk(seconds=60)
    yield found
    found.close()


def test_it_answers_in_another_process_and_again_in_the_same(desk):
    first = desk.ask(os.getpid)
    assert first != os.getpid()
    assert desk.ask(os.getpid) == first


def test_errors_come_back_as_they_were_raised(desk):
    with pytest.raises(InputError, match="cannot be computed: ValueError: invalid literal"):
        desk.ask(int, "x")
    with pytest.raises(InputError, match="--recipes /nowhere is not a folder"):
        desk.ask(questions.recipes, Path("/nowhere"))
    with pytest.raises(BadOverrides) as error:
        desk.ask(questions.resolve, "", {"sede": 1}, Limits(), "process")
    assert error.value.keys == ("sede",)


def test_one_that_is_lost_costs_one_answer(desk):
    before = desk.ask(os.getpid)
    with pytest.raises(Refusal) as error:
        desk.ask(os.kill, before, signal.SIGKILL)
    assert error.value.status == 422
    assert desk.ask(os.getpid) != before


def test_one_that_takes_too_long_is_ended():
    desk = Desk(seconds=0.01)  # which is not enough to start it
    with pytest.raises(Refusal, match=r"more than 0.01 s") as error:
        desk.ask(time.sleep, 30)
    assert error.value.status == 503
    assert desk._process is None


def test_too_many_are_refused():
    desk = Desk()
    asked = threading.Semaphore(0)
    held = threading.Event()
    desk._answer = lambda question: (asked.release(), held.wait(30))
    threads = [
        threading.Thread(target=lambda: desk.ask(os.getpid), daemon=True)
        for _ in range(MAX_WAITING)
    ]
    for thread in threads:
        thread.start()
    assert asked.acquire(timeout=10)
    end = time.monotonic() + 10
    while desk._places._value and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(Refusal) as error:
        desk.ask(os.getpid)
    held.set()
    for thread in threads:
        thread.join(timeout=10)
    assert (error.value.status, error.value.headers) == (503, {"retry-after": "2"})
