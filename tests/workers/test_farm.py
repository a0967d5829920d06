"""Pieces of work in other processes: each done once, and what kills its worker is given up."""

import dataclasses
import os
import sys
from pathlib import Path

import pytest

from taskset.errors import InputError
from workers import farm
from workers.farm import finished
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


def results(pieces, workers, address=None) -> list:
    """The outcomes in the order of the pieces."""
    found = dict(finished(pieces, workers, address))
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
    for name in ("once", "always", "other"):
        (tmp_path / name).mkdir()
    once, always = Dying(0, tmp_path / "once", 1), Dying(1, tmp_path / "always")
    found = results([once, always, Noted(2, tmp_path / "other")], 2)
    assert (found[0][0], found[2][0]) == (0, 2)
    assert isinstance(found[1], Failed)
    assert "its worker died 2 times" in found[1].reason
    assert "ended with 3" in found[1].reason
    assert [len(list((tmp_path / x).iterdir())) for x in ("once", "always", "other")] == [2, 2, 1]


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
