import os
from pathlib import Path

import pytest

from taskset.errors import InputError
from workers import parcel


def packed(folder: Path, tmp_path: Path) -> list[str]:
    into = tmp_path / "into"
    left_out = parcel.pack(folder, into)
    assert all((folder / path).exists() for path in left_out)
    return sorted(str(path.relative_to(into)) for path in into.rglob("*") if path.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "export").mkdir(parents=True)
    (folder / "export" / "arrays.safetensors").write_bytes(b"weights")
    (folder / "family.py").write_text("x = 1")
    return folder


def test_what_a_job_needs_goes(folder, tmp_path):
    assert packed(folder, tmp_path) == ["export/arrays.safetensors", "family.py"]
    assert (tmp_path / "into" / "family.py").read_text() == "x = 1"


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".env.local",
        "keys/server.pem",
        "id_ed25519",
        ".ray/auth_token",
        "API_TOKEN.txt",
        "auth_token",
        "client_secret.json",
        ".aws/credentials",
        ".git/config",
        "runs/digits/metrics.jsonl",
        "deep/er/__pycache__/x.pyc",
    ],
)
def test_nothing_secret_or_needless_goes(path, folder, tmp_path):
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("secret")
    assert packed(folder, tmp_path) == ["export/arrays.safetensors", "family.py"]


def test_what_is_left_out_is_said(folder, tmp_path):
    (folder / ".git").mkdir()
    (folder / ".git" / "config").touch()
    (folder / "export" / ".env").touch()
    (folder / "tokenizer.json").touch()  # is no token
    assert sorted(parcel.pack(folder, tmp_path / "into")) == [".git", "export/.env"]


def test_links_do_not_lead_out(folder, tmp_path):
    (tmp_path / "outside.txt").write_text("secret")
    os.symlink(tmp_path / "outside.txt", folder / "harmless.txt")
    (folder / ".env").write_text("secret")
    os.symlink(folder / ".env", folder / "settings.txt")
    os.symlink(folder / "family.py", folder / "same.py")
    assert packed(folder, tmp_path) == ["export/arrays.safetensors", "family.py", "same.py"]


def test_too_much_is_refused_by_the_name_of_the_largest(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(parcel, "MAX_BYTES", 2**20)
    (folder / "data.npy").write_bytes(bytes(2**20))
    with pytest.raises(InputError, match=r"at most 1 go to a cluster; the largest is data\.npy"):
        packed(folder, tmp_path)
    assert not (tmp_path / "into").exists()
