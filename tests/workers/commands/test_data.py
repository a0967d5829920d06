"""`metaopt data`: what it prints, and that it downloads nothing by itself."""

import json

import pytest
import tyro

from taskset.errors import InputError
from workers.commands.data import DataList, DataPrepare


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("METAOPT_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    return tmp_path


def listed(capsys):
    assert tyro.cli(DataList, args=["--json"]).run() == 0
    return {record["data set"]: record for record in json.loads(capsys.readouterr().out)}


def test_list_prepares_nothing_and_then_shows_what_is_prepared(capsys, data_dir):
    records = listed(capsys)
    assert records["digits"]["prepared"] == "at first use"
    assert records["mnist"]["prepared"] == "no"
    assert not list(data_dir.iterdir())

    assert tyro.cli(DataPrepare, args=["digits", "--source", "embedded"]).run() == 0
    assert str(data_dir) in capsys.readouterr().out
    assert listed(capsys)["digits"]["prepared"] == "yes"
    assert listed(capsys)["digits"]["classes"] == 10


def test_without_download_an_unprepared_data_set_is_refused(data_dir):
    command = tyro.cli(DataPrepare, args=["mnist"])
    assert command == DataPrepare("mnist", source="tfds", download=False)
    with pytest.raises(InputError, match="metaopt data prepare mnist --download"):
        command.run()
