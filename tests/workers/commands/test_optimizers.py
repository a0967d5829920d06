"""`metaopt optimizers`: what it prints, and what it refuses."""

import json

import jax
import numpy as np
import pytest
from published_weights import packed, weights

from metaopt import exports
from metaopt.learned_optimizers import KINDS, importers
from workers import cli


def test_list_has_a_row_for_every_kind(capsys, monkeypatch):
    few = {kind: KINDS[kind] for kind in ("LearnableAdam", "PerParameterMLP")}
    monkeypatch.setattr("metaopt.learned_optimizers.KINDS", few)  # the others take seconds
    assert cli.main(["optimizers", "list", "--json"]) == 0
    found = {record["kind"]: record for record in json.loads(capsys.readouterr().out)}
    assert set(found) == set(few)
    assert found["PerParameterMLP"]["num_meta_params"] == 1762
    assert found["PerParameterMLP"]["state_bytes_per_vector_parameter"] == pytest.approx(24, 1e-3)
    assert found["LearnableAdam"]["uses"] == ["num_steps"]


def test_show_takes_settings(capsys):
    command = ["optimizers", "show", "HyperController", "--set", "controller=mlp", "hidden_size=8"]
    assert cli.main(command) == 0
    lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    shown = {name: text.strip() for name, text in lines.items()}
    assert shown["num_meta_params"] == f"{(21 + 1) * 8 + (8 + 1) * 4 + 4}"
    assert shown["features_per_tensor"] == "statistics 16, loss 1, knobs 4"
    assert shown["settings"].startswith("controller mlp, hidden_size 8, learning_rate 0.0001")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("VeLo", "unknown optimizer.kind 'VeLo'; did you mean 'VeLO'?"),
        ("VeLO --set lstm=3", "did you mean 'lstm_size'?"),
        ("VeLO --set lstm_size=big", "optimizer.lstm_size is 'big'; expected an integer"),
        ("VeLO --set lstm_size=-1", "cannot be built; an argument is wrong"),
        ("VeLO --set lstm_size", "--set is 'lstm_size'; it must be FIELD=VALUE"),
        ("LearnableSGD --set num_knots=0", "optimizer.num_knots is 0; it must be positive"),
    ],
)
def test_bad_input_is_refused(arguments, message, refusal):
    assert message in refusal("optimizers", "show", *arguments.split())


@pytest.fixture
def published(tmp_path, monkeypatch):
    """The working folder, with small weights of Celo in the file "theta.state"."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theta.state").write_bytes(packed(weights(num_inputs=18, bank=1)))
    return tmp_path


@pytest.mark.usefixtures("standard_promotion")
def test_import_makes_an_export(published, capsys):
    assert cli.main(["optimizers", "import", "theta.state", "--out", "celo"]) == 0
    assert "metaopt.load('celo', num_steps=1000)" in capsys.readouterr().out
    found, expected = exports.read("celo"), importers.load(published / "theta.state")
    assert found.optimizer == expected.optimizer
    jax.tree.map(np.testing.assert_array_equal, found.meta_params, expected.meta_params)
    assert found.provenance["imported from"] == "theta.state"
    assert "license: other\n" in (published / "celo/README.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("none --out celo", "cannot read none: No such file or directory"),
        ("theta.state --out theta.state", "export folder theta.state exists; choose another"),
        ("theta.state --out celo --forgets", "equal_averages and forgets are for VeLO"),
        ("empty --out celo", "empty is damaged, or not msgpack of flax"),
    ],
)
def test_import_refuses(arguments, message, published, refusal):
    (published / "empty").touch()
    assert message in refusal("optimizers", "import", *arguments.split())
    assert not (published / "celo").exists()
