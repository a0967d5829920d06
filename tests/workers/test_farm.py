"""Pieces of work in other processes: each done once, and what kills its worker is given up."""

import dataclasses
import os
import re
import signal
import sys
import threading
from pathlib import Path

import pytest

from taskset.errors import InputError
from workers import farm
from workers.farm import finished
from workers.health import Patience
from workers.piece import Failed

HERE, PROCESSES = pytest.param(1, None, id="here"), pytest.param(2, None, id="processes")
RAY = pytest.param(2, "ray", id="ray", marks=pytest.mark.ray)


@dataclasses.dataclass(frozen=True)
class Noted:
    """Leaves a file for each time that it ran, and returns its number and its process."""

    number: int
    folder: Path

    def run(self) -> tuple[int, int]:
        (self.folder / f"{self.number}-{os.getpid()}-{len(os.listdir(self.folder))}").touch()
        return self.number, os.getpid()


@dataclasses.dataclass(frozen=True)
class Raising:
    error: Exception

    def run(self) -> None:
        raise self.error


@dataclasses.dataclass(frozen=True)
class Dying(Noted):
    """Ends its process, the first `times` times."""

    times: int = 10

    def run(self) -> tuple[int, int]:
        noted = super().run()
        if len(os.listdir(self.folder)) <= self.times:
            os._exit(3)
        return noted


@dataclasses.dataclass(frozen=True)
class Freezing(Noted):
    """Stops its process the first time, as a machine does that has no memory."""

    def run(self) -> tuple[int, int]:
        noted = super().run()
        if len(os.listdir(self.folder)) == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        return noted


@dataclasses.dataclass(frozen=True)
class Waiting(Noted):
    """Waits for what never comes."""

    def run(self) -> tuple[int, int]:
        super().run()
        threading.Event().wait(3600)
        raise AssertionError


def results(pieces, workers, address=None, **options) -> list:
    """The outcomes in the order of the pieces."""
    found = dict(finished(pieces, workers, address, **options))
    assert sorted(found) == list(range(len(pieces)))
    return [found[index] for index in range(len(pieces))]


@pytest.mark.parametrize(("workers", "address"), [HERE, PROCESSES, RAY])
def test_every_job_is_done_once_and_one_that_raises_is_a_failure(
    workers, address, tmp_path, request
):
    if address:
        address = request.getfixturevalue("ray_address")
    wrong, broken = Raising(InputError("give another")), Raising(KeyError("none"))
    found = results([Noted(0, tmp_path), wrong, broken, Noted(3, tmp_path)], workers, address)
    assert found[1:3] == [Failed("give another"), Failed("KeyError: 'none'")]
    assert [found[0][0], found[3][0]] == [0, 3]
    assert sorted(path.name[0] for path in tmp_path.iterdir()) == ["0", "3"]
    assert (os.getpid() in {found[0][1], found[3][1]}) == (workers == 1)


def test_a_job_whose_worker_dies_has_a_second_chance_and_no_third(tmp_path):
    folders(tmp_path, "once", "always", "other")
    once, always = Dying(0, tmp_path / "once", 1), Dying(1, tmp_path / "always")
    found = results([once, always, Noted(2, tmp_path / "other")], 2)
    assert (found[0][0], found[2][0]) == (0, 2)
    assert isinstance(found[1], Failed)
    assert "its worker was lost 2 times" in found[1].reason
    assert "ended with 3" in found[1].reason
    assert [len(list((tmp_path / x).iterdir())) for x in ("once", "always", "other")] == [2, 2, 1]


def folders(tmp_path, *names):
    for name in names:
        (tmp_path / name).mkdir()
    return [tmp_path / name for name in names]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("workers", "address"), [PROCESSES, RAY])
def test_a_frozen_worker_is_replaced_without_a_sign_of_life(workers, address, tmp_path, request):
    if address:
        address = request.getfixturevalue("ray_address")
    frozen, other = folders(tmp_path, "frozen", "other")
    patience = Patience(suspicion_slack=0.2, probe=5.0)  # its deadline is 20 minutes
    pieces = [Freezing(0, frozen), Noted(1, other)]
    found = results(pieces, workers, address, patience=patience)
    assert [number for number, _ in found] == [0, 1]
    first, second = sorted(frozen.iterdir(), key=lambda path: path.name.rpartition("-")[2])
    assert first.name.split("-")[1] != second.name.split("-")[1]  # another process
    assert len(list(other.iterdir())) == 1


@pytest.mark.timeout(120)
def test_a_job_that_hangs_has_a_second_chance_and_is_then_a_failure(tmp_path):
    hangs, other = folders(tmp_path, "hangs", "other")
    patience = Patience(first=2.0)  # it gives signs of life for ever
    found = results([Waiting(0, hangs), Noted(1, other)], 2, patience=patience)
    assert isinstance(found[0], Failed)
    assert re.fullmatch(r"its worker was lost 2 times: it did not end in \d+ s", found[0].reason)
    assert len(list(hangs.iterdir())) == 2
    assert found[1][0] == 1


@pytest.mark.timeout(120)
def test_deadlines_follow_the_longest_job_whoever_did_it(tmp_path):
    """Without the times of the others, the last one had 20 minutes."""
    quick = folders(tmp_path, *"abcd")
    patience = Patience(factor=1.0, slack=1.0)
    pieces = [*(Noted(i, folder) for i, folder in enumerate(quick)), Waiting(4, tmp_path)]
    found = results(pieces, 2, patience=patience)
    assert [number for number, _ in found[:4]] == [0, 1, 2, 3]
    assert "did not end" in found[4].reason


def test_a_worker_that_holds_too_much_goes_on_in_a_new_process(tmp_path, monkeypatch):
    monkeypatch.setattr(farm, "MAX_BYTES", 1)
    found = results([Noted(i, tmp_path) for i in range(4)], 2)
    assert [number for number, _ in found] == [0, 1, 2, 3]
    assert len({process for _, process in found}) == 4


def test_no_process_is_left_behind_when_nobody_wants_the_rest(tmp_path):
    outcomes = finished([Noted(i, tmp_path) for i in range(3)], 2)
    _, (_, process) = next(outcomes)
    outcomes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_nothing_to_do_starts_nothing(monkeypatch):
    monkeypatch.setattr(farm, "_transport", lambda *_: sys.exit("started"))
    assert list(finished([], 2)) == []
