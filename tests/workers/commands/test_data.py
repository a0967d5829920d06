"""`metaopt data`: what it prints, and that it downloads nothing by itself."""

import json

import pytest
import tyro

from taskset.data import store
from taskset.errors import InputError
from workers import cli
from workers.commands.data import DataList, DataPrepare, DataVerify


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
    record = listed(capsys)["digits"]
    assert (record["prepared"], record["kind"]) == ("yes", "image")
    assert (record["shape"], record["classes"]) == ("8x8x1", 10)


def test_without_download_an_unprepared_data_set_is_refused(data_dir):
    command = tyro.cli(DataPrepare, args=["mnist"])
    assert command == DataPrepare("mnist", source="tfds", download=False, rebuild=False)
    with pytest.raises(InputError, match="metaopt data prepare mnist --download"):
        command.run()


def test_damage_is_listed_found_by_verify_and_mended_by_rebuild(capsys, refusal):
    with pytest.raises(InputError, match="not prepared; run: metaopt data prepare digits"):
        DataVerify("digits", "embedded").run()
    assert DataPrepare("digits", "embedded").run() == 0
    assert DataVerify("digits", "embedded").run() == 0
    assert "92f59edfe5844add" in capsys.readouterr().out

    path = store.path_of("digits", "embedded")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    line = refusal("data", "verify", "digits", "--source", "embedded")
    rebuild = "metaopt data prepare digits --source embedded --rebuild"
    assert "is damaged" in line and rebuild in line

    path.write_bytes(content[:100])
    assert listed(capsys)["digits"]["prepared"] == "damaged"
    assert cli.main(rebuild.split()[1:]) == 0
    assert DataVerify("digits", "embedded").run() == 0
    capsys.readouterr()
    assert listed(capsys)["digits"]["prepared"] == "yes"
