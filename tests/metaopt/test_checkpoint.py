import json
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt import checkpoint
from taskset.errors import InputError


class State(NamedTuple):
    count: jax.Array
    inner: dict[str, jax.Array]


def _parts():
    return {
        "meta_params": {"weight": jnp.arange(6.0).reshape(2, 3), "bias": jnp.zeros((0,))},
        "state": State(jnp.asarray(3, jnp.int32), {"half": jnp.asarray([1.5, -2.0], jnp.bfloat16)}),
        "keys": [jax.random.split(jax.random.key(7), 2), jax.random.key(1, impl="rbg")],
        "numbers": (4, 0.25, True),
    }


def _assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if isinstance(b, bool | int | float):
            assert type(a) is type(b)
            assert a == b
            continue
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        raw = jax.random.key_data if checkpoint._is_key(b) else np.asarray
        assert np.asarray(raw(a)).tobytes() == np.asarray(raw(b)).tobytes()


def test_every_kind_of_leaf_comes_back_bit_for_bit(tmp_path: Path):
    parts = _parts()
    path = checkpoint.save(tmp_path, 12, parts, {"best": {"step": 12, "score": 0.5}})
    assert path == tmp_path / "step_000012"
    _assert_same(checkpoint.load(path, parts), parts)


def test_a_template_may_be_abstract_and_may_name_some_parts(tmp_path: Path):
    parts = _parts()
    path = checkpoint.save(tmp_path, 1, parts)
    wanted = {name: parts[name] for name in ("meta_params", "keys")}
    _assert_same(checkpoint.load(path, jax.eval_shape(lambda: wanted)), wanted)


def test_the_manifest_says_what_is_in_it(tmp_path: Path):
    path = checkpoint.save(tmp_path, 7, _parts(), {"note": [1, "two"]})
    manifest = checkpoint.read_manifest(path)
    assert manifest.step == 7
    assert manifest.info == {"note": [1, "two"]}
    assert manifest.arrays["state/inner/half"] == {"shape": [2], "dtype": "bfloat16"}
    assert manifest.arrays["keys/0"] == {"shape": [2, 2], "dtype": "key:threefry2x32"}
    assert set(manifest.versions) == set(checkpoint.LIBRARIES)


def test_saving_a_step_again_replaces_it_and_leaves_nothing_else(tmp_path: Path):
    checkpoint.save(tmp_path, 5, {"x": jnp.zeros(2)})
    path = checkpoint.save(tmp_path, 5, {"x": jnp.ones(2)})
    np.testing.assert_array_equal(checkpoint.load(path, {"x": np.zeros(2, "f4")})["x"], [1, 1])
    assert [p.name for p in tmp_path.iterdir()] == ["step_000005"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"x": np.zeros(3, np.float32)}, r"'x' .*shape \(2,\) and dtype float32.* needs \(3,\)"),
        ({"x": np.zeros(2, np.int32)}, r"'x' .*dtype float32.* int32"),
        ({"x": {"y": np.zeros(2, np.float32)}}, "'x', which has no place"),
        ({"x": np.zeros(2, np.float32), "z": np.zeros(1)}, "lacks 'z'"),
    ],
)
def test_what_does_not_fit_the_template_is_named(tmp_path: Path, template, message: str):
    path = checkpoint.save(tmp_path, 1, {"x": np.zeros(2, np.float32), "other": np.zeros(1)})
    with pytest.raises(InputError, match=message):
        checkpoint.load(path, template)


def _truncate(path: Path):
    content = (path / checkpoint.ARRAYS).read_bytes()
    (path / checkpoint.ARRAYS).write_bytes(content[:-3])


def _edit(path: Path):
    content = bytearray((path / checkpoint.ARRAYS).read_bytes())
    content[-1] ^= 1
    (path / checkpoint.ARRAYS).write_bytes(content)


def _cut_manifest(path: Path):
    (path / checkpoint.MANIFEST).write_text((path / checkpoint.MANIFEST).read_text()[:40])


def _remove_arrays(path: Path):
    (path / checkpoint.ARRAYS).unlink()


def _drop_manifest_key(path: Path):
    fields = json.loads((path / checkpoint.MANIFEST).read_text())
    del fields["sha256"]
    (path / checkpoint.MANIFEST).write_text(json.dumps(fields))


@pytest.mark.parametrize(
    "damage", [_truncate, _edit, _cut_manifest, _remove_arrays, _drop_manifest_key]
)
def test_a_damaged_checkpoint_is_refused_by_name_and_the_previous_good_one_offered(
    tmp_path: Path, damage
):
    template = {"x": np.zeros(2, np.float32)}
    for step in (10, 20, 30):
        checkpoint.save(tmp_path, step, {"x": np.full(2, step, np.float32)})
    assert checkpoint.newest(tmp_path).name == "step_000030"
    for step in (20, 30):
        damage(checkpoint.at(tmp_path, step))
    with pytest.raises(InputError, match=r"step_000030 .*--step 10 takes the previous good one"):
        checkpoint.newest(tmp_path)
    with pytest.raises(InputError, match="step_000020"):
        checkpoint.load(checkpoint.at(tmp_path, 20), template)
    good = checkpoint.load(checkpoint.at(tmp_path, 10), template)
    np.testing.assert_array_equal(good["x"], [10, 10])


def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path):
    path = checkpoint.save(tmp_path, 1, {"x": np.zeros(2)})
    fields = json.loads((path / checkpoint.MANIFEST).read_text())
    (path / checkpoint.MANIFEST).write_text(json.dumps({**fields, "format_version": 99}))
    with pytest.raises(InputError, match="format 99; this metaopt reads 1"):
        checkpoint.read_manifest(path)


def test_missing_checkpoints_are_said_to_be_missing(tmp_path: Path):
    with pytest.raises(InputError, match="no checkpoint in"):
        checkpoint.newest(tmp_path)
    checkpoint.save(tmp_path, 1, {"x": np.zeros(2)})
    with pytest.raises(InputError, match=r"no checkpoint of step 2 .*there are: 1"):
        checkpoint.at(tmp_path, 2)


def test_prune_keeps_the_newest_and_the_best_and_clears_what_a_killed_save_left(tmp_path: Path):
    for step in (10, 20, 30, 40):
        checkpoint.save(tmp_path, step, {"x": np.zeros(1)})
    (tmp_path / ".step_000050.123").mkdir()
    checkpoint.prune(tmp_path, keep=2, best_step=10)
    assert checkpoint.steps(tmp_path) == [10, 30, 40]
    assert not list(tmp_path.glob(".step_*"))


def test_best_is_the_one_that_the_newest_manifest_names(tmp_path: Path):
    checkpoint.save(tmp_path, 10, {"x": np.zeros(1)}, {"best": {"step": 10, "score": 0.5}})
    checkpoint.save(tmp_path, 20, {"x": np.zeros(1)}, {"best": {"step": 10, "score": 0.5}})
    assert checkpoint.best(tmp_path).name == "step_000010"
    checkpoint.save(tmp_path, 30, {"x": np.zeros(1)}, {"best": None})
    assert checkpoint.best(tmp_path).name == "step_000030"


def test_what_a_killed_save_of_the_same_process_id_left_is_no_obstacle(tmp_path: Path):
    left = tmp_path / f".step_000007.{os.getpid()}"
    left.mkdir()
    (left / checkpoint.ARRAYS).write_bytes(b"half")
    path = checkpoint.save(tmp_path, 7, {"a": np.zeros(2)})
    assert [p.name for p in tmp_path.iterdir()] == [path.name] == ["step_000007"]
    assert checkpoint.read_manifest(path).step == 7


def test_a_save_that_fails_half_way_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch):
    checkpoint.save(tmp_path, 10, {"x": np.zeros(1)})

    def full_disk(path: Path, content: bytes):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_durably", full_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, 20, {"x": np.zeros(1)})
    assert checkpoint.newest(tmp_path).name == "step_000010"
