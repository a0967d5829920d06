"""Released weights: files of their layout, written here, mean here what they mean there."""

import jax
import numpy as np
import pytest
from published_weights import OF_PARAMETER, packed, weights

from metaopt.learned_optimizers import importers
from metaopt.learned_optimizers.base import meta_param_shapes
from taskset.errors import InputError

OURS = (
    "g", "w", "m", "v", "m r", "r", "factored g", "row", "column", "row root", "column root",
    "factored m", "clipped g", "g r",
)  # fmt: skip
OF_TENSOR = {"fraction": 9, "loss": 9, "mean v": 1, "rank": 5, "var m": 3, "var v": 3}
OUR_TENSOR = ("fraction", "loss", "mean v", "var m", "var v", "rank")


@pytest.fixture
def written(tmp_path):
    """Writes a tree, or bytes, as a file; returns its path."""

    def write(content):
        path = tmp_path / "params"
        path.write_bytes(content if isinstance(content, bytes) else packed(content))
        return path

    return write


def grouped(sizes, order, seed=1):
    """Random numbers by feature as one vector in the order of the file, and in ours."""
    draw = np.random.RandomState(seed)
    values = {name: draw.randn(number) for name, number in sizes.items()}
    return np.concatenate(list(values.values())), np.concatenate([values[name] for name in order])


def assert_same_function(mlp, theirs, index):
    there, here = grouped(OF_PARAMETER, OURS)
    first = np.concatenate([theirs[f"w0__{i}"][index] for i in range(len(OF_PARAMETER))])
    expected = there @ first + theirs["b0"][index]
    found = here @ np.asarray(mlp["layer0"]["weight"]) + mlp["layer0"]["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(mlp["layer2"]["weight"], theirs["w2"][index])


def fits(imported):
    shapes = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert shapes(imported.meta_params) == shapes(meta_param_shapes(imported.optimizer))


@pytest.mark.parametrize("around", ["nothing", "checkpoint", "tuple"])
def test_velo_is_read(around, written):
    theirs = weights(num_inputs=30)
    file = {
        "nothing": theirs,
        "checkpoint": {"params": theirs, "gen_id": "a", "step": 7},
        "tuple": {"0": theirs, "1": "", "2": 0},
    }[around]
    imported = importers.load_velo(written(file), forgets=True)
    fits(imported)
    assert imported.optimizer.released and imported.optimizer.forgets
    ours = imported.meta_params
    bank = jax.tree.map(lambda x: x[3], ours["bank"])
    assert_same_function(bank, theirs["ff_mod_stack"]["~"], 3)
    there, here = grouped(OF_TENSOR, OUR_TENSOR)
    for name, linear in (("tell_second", "linear_1"), ("straight", "linear_2")):
        expected = there @ theirs["rnn_params"][linear]["w"]
        np.testing.assert_allclose(here @ np.asarray(ours[name]["weight"]), expected, rtol=1e-5)
    np.testing.assert_array_equal(ours["start"]["memory"], theirs["lstm_init_state"]["cell"][0])
    np.testing.assert_array_equal(ours["rate"]["bias"], theirs["rnn_params"]["step_size"]["b"])


def test_celo_is_read(written):
    theirs = weights(num_inputs=18, bank=1)
    imported = importers.load_celo(written(theirs))
    fits(imported)
    assert_same_function(imported.meta_params["mlp"], theirs["ff_mod_stack"]["~"], 0)
    schedule = imported.meta_params["schedule"]
    np.testing.assert_array_equal(
        schedule["rectified"]["weight"], theirs["rnn_params"]["linear_1"]["w"]
    )


def test_named_tuples_of_old_flax_are_read(written):
    theirs = weights(num_inputs=30)
    state = theirs["lstm_init_state"]
    fields, values = {"0": "hidden", "1": "cell"}, {"0": state["hidden"], "1": state["cell"]}
    old = theirs | {"lstm_init_state": {"name": "LSTMState", "fields": fields, "values": values}}
    found = importers.load_velo(written(old)).meta_params["start"]
    np.testing.assert_array_equal(found["output"], state["hidden"][0])


@pytest.mark.parametrize(("num_inputs", "bank"), [(30, 5), (18, 1)])
def test_which_it_is_shows_in_the_file(num_inputs, bank, written):
    path = written(weights(num_inputs, bank=bank))
    one = importers.load_velo if num_inputs == 30 else importers.load_celo
    found, expected = importers.load(path), one(path)
    assert found.optimizer == expected.optimizer
    jax.tree.map(np.testing.assert_array_equal, found.meta_params, expected.meta_params)


def changed(path, value):
    tree = weights(num_inputs=30)
    *folders, name = path.split("|")
    inner = tree
    for folder in folders:
        inner = inner[folder]
    if value is None:
        del inner[name]
    else:
        inner[name] = value
    return tree


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (packed(weights(30))[:-1000], "is damaged, or not msgpack of flax"),
        (b"", "is damaged"),
        (b"\x80\x04K\x01.", "is damaged"),  # a pickle
        (packed([1, 2]), "is damaged"),
        (packed({"a": 1}), "no weights of VeLO or Celo: it lacks 'lstm_init_state/hidden'"),
        (packed({"a": np.ones(2)}), "an array is of float64, not float32"),
        (changed("rnn_params|step_size|b", None), "lacks 'rnn_params/step_size/b'"),
        (changed("rnn_params|extra", np.ones(2, np.float32)), "an unknown 'rnn_params/extra'"),
        (
            changed("rnn_params|step_size|w", np.ones((5, 1), np.float32)),
            r"'rnn_params/step_size/w' is \[5, 1\].*it must be \[6, 1\]",
        ),
        (
            changed("rnn_params|step_size|b", np.full(1, np.nan, np.float32)),
            "'rnn_params/step_size/b' has values that are not finite",
        ),
        (weights(num_inputs=18), r"'rnn_params/linear/w' is \[18, 6\].*must be \[30, 6\]"),
    ],
)
def test_damage_is_named(content, message, written):
    with pytest.raises(InputError, match=message) as caught:
        importers.load_velo(written(content))
    assert "\n" not in str(caught.value)


def test_other_bad_files_are_refused(written, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot read"):
        importers.load_celo(tmp_path / "none")
    with pytest.raises(InputError, match="has 5 MLPs; Celo has one"):
        importers.load_celo(written(weights(num_inputs=18)))
    celo = written(weights(num_inputs=18, bank=1))
    with pytest.raises(InputError, match="equal_averages and forgets are for VeLO"):
        importers.load(celo, forgets=True)
    monkeypatch.setattr(importers, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="more than 100 bytes"):
        importers.load_velo(written(weights(num_inputs=30)))
