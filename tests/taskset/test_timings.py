"""Timings: measured ones are kept, others estimated, and corrected by their family's."""

import json

import pytest

from taskset import timings
from taskset.errors import InputError


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("METAOPT_DATA_DIR", str(tmp_path))


def test_measured_seconds_are_kept_and_preferred():
    before = timings.seconds("quadratic:dim=4")
    measured = timings.measure("quadratic:dim=4")
    assert 0 < measured < 0.1
    assert before > 0
    assert timings.seconds("quadratic:dim=4") == measured
    assert json.loads(timings.path_of_table().read_text())["seconds"] == timings.table()
    assert timings.estimate("quadratic:dim=4") == before


def test_estimates_grow_with_the_work():
    small, large = (timings.seconds(f"mlp:hidden={n}") for n in ("8", "4096x4096"))
    assert large > 10 * small


def test_estimates_are_corrected_by_the_median_of_the_family(monkeypatch):
    raw = {dim: timings._raw_estimate(f"quadratic:dim={dim}") for dim in (2, 3, 4, 5)}
    table = {f"quadratic:dim={dim}": raw[dim] * times for dim, times in ((2, 3), (3, 5), (4, 100))}
    monkeypatch.setattr(timings, "table", lambda: table)
    assert timings.seconds("quadratic:dim=5") == pytest.approx(5 * raw[5])
    assert timings.seconds("mlp:hidden=8") == timings._raw_estimate("mlp:hidden=8")


def test_a_damaged_table_is_as_good_as_none():
    path = timings.path_of_table()
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert timings.table() == {}
    timings.measure("quadratic:dim=2")
    assert set(timings.table()) == {"quadratic:dim=2"}


def test_a_table_that_cannot_be_written_is_an_error_of_one_line():
    folder = timings.path_of_table().parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("")
    with pytest.raises(InputError, match=r"cannot write timings to .*; set METAOPT_DATA_DIR"):
        timings.measure("quadratic:dim=2")
