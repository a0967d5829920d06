"""Exports go to a hub and come back, against one on loopback."""

import pytest
from bare_exports import bare_export
from fake_hub import COMMIT, FakeHub

from metaopt import exports
from metaopt.learned_optimizers import LearnableSGD
from taskset.errors import InputError

hub = pytest.importorskip("metaopt.hub")


@pytest.fixture
def server():
    with FakeHub() as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return bare_export(tmp_path / "export", LearnableSGD(learning_rate=0.5))


def fetch(server, tmp_path):
    cache = tmp_path / "cache"
    return hub.from_hub("me/it", endpoint=server.endpoint, token="x", cache_dir=cache)


def test_what_is_pushed_comes_back(server, path, tmp_path):
    (path / "notes.txt").write_text("not for others")
    url = hub.push(path, "me/it", token="x", endpoint=server.endpoint)
    assert url.endswith(COMMIT)
    assert set(server.files) == {"config.json", "model.safetensors", "golden.npz", "README.md"}
    server.files["malware.pkl"] = b"never asked for"
    found = fetch(server, tmp_path)
    assert exports.read(found).optimizer == LearnableSGD(learning_rate=0.5)
    assert not any("malware" in asked for asked in server.asked)
    assert {file.name for file in found.iterdir()} == set(server.files) - {"malware.pkl"}


def test_a_damaged_export_is_neither_pushed_nor_taken(server, path, tmp_path):
    hub.push(path, "me/it", token="x", endpoint=server.endpoint)
    server.files["model.safetensors"] = server.files["model.safetensors"][:-1]
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        fetch(server, tmp_path)
    (path / "golden.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"golden\.npz is damaged"):
        hub.push(path, "me/it", token="x", endpoint=server.endpoint)


def test_a_hub_that_has_no_export_is_named(server, tmp_path):
    server.files["weights.bin"] = b"0"
    with pytest.raises(InputError, match=r"is not an export|cannot fetch"):
        fetch(server, tmp_path)
