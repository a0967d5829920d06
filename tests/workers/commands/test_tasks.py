"""`metaopt tasks`: what it prints."""

import json

import pytest
import tyro

from taskset.errors import InputError
from workers.commands.tasks import TasksList, TasksSample, TasksShow


def printed(capsys, command, *arguments):
    assert tyro.cli(command, args=list(arguments)).run() == 0
    return capsys.readouterr().out


def test_list_has_every_family_with_its_defaults(capsys):
    records = {r["family"]: r for r in json.loads(printed(capsys, TasksList, "--json"))}
    assert set(records) == {"mlp", "quadratic"}
    assert records["mlp"]["keys and defaults"]["hidden"] == "32"


def test_show_counts_parameters_bytes_and_flops(capsys):
    record = json.loads(printed(capsys, TasksShow, "mlp:hidden=16,batch_size=8", "--json"))
    assert record["name"] == "mlp:hidden=16,batch_size=8"
    assert record["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert record["parameter_bytes"] == 4 * record["parameters"]
    assert record["batch_bytes"] == 8 * (64 + 4)
    assert record["examples"] == {
        "train": 1260,
        "inner_valid": 179,
        "outer_valid": 179,
        "test": 179,
    }
    forward = (
        2 * 8 * (64 * 16 + 16 * 10)
    )  # of the matrix products alone; backward is one to two more
    assert 2 * forward < record["flops_per_step"] < 6 * forward
    assert 1.8 < record["initial_loss"] < 3.0  # near log(10)
    assert 0 < record["milliseconds_per_step"] < 1000


def test_show_works_without_data(capsys):
    text = printed(capsys, TasksShow, "quadratic:dim=3")
    rows = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert rows["parameters"] == "3"
    assert rows["batch_bytes"] == "0"
    assert "examples" not in rows


def test_sample_prints_names_that_build_and_goes_on_by_seed(capsys):
    first = json.loads(printed(capsys, TasksSample, "quadratic", "--num", "3", "--json"))
    rest = json.loads(
        printed(capsys, TasksSample, "quadratic", "--num", "2", "--seed", "1", "--json")
    )
    assert first[1:] == rest
    assert len({record["name"] for record in first}) == 3


def test_sample_prints_aligned_rows(capsys):
    lines = printed(capsys, TasksSample, "mlp", "--num", "2").splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["name", "parameters", "data", "set", "batch"]


@pytest.mark.parametrize(
    "command",
    [TasksShow("mpl"), TasksSample("mpl"), TasksSample("mlp", num=0), TasksSample("mlp", seed=-1)],
)
def test_bad_input_is_refused(command):
    with pytest.raises(InputError):
        command.run()
