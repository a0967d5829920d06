"""Run folders at a URL: whole or not there, whatever is cut off in the middle."""

import numpy as np
import pytest
from tiny_run import TINY

from metaopt import checkpoint
from taskset.errors import InputError
from workers import cli, remote_folder
from workers.remote_folder import RemoteFolder


@pytest.fixture(params=["file", "memory"])
def url(request, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_folder, "COPIES", tmp_path / "copies")
    return f"{request.param}://{tmp_path}/there"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "here"
    for step in (5, 10):
        checkpoint.save(path / "checkpoints", step, {"a": np.arange(step)})
    (path / "config.toml").write_text("seed = 3\n")
    (path / "metrics.jsonl").write_text('{"step": 1}\n')
    return path


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_what_was_uploaded_comes_back(url, folder):
    RemoteFolder(url).upload(folder)
    assert content(remote_folder.open_copy(url)) == content(folder)


def test_what_is_new_is_added_and_what_is_gone_is_removed(url, folder):
    remote = RemoteFolder(url)
    remote.upload(folder)
    checkpoint.save(folder / "checkpoints", 15, {"a": np.arange(15)})
    checkpoint.prune(folder / "checkpoints", keep=1)
    (folder / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    remote.upload(folder)
    assert content(remote_folder.open_copy(url)) == content(folder)


def test_an_upload_that_is_cut_off_leaves_the_run_as_it_was_before(url, folder, monkeypatch):
    remote = RemoteFolder(url)
    remote.upload(folder)
    before = content(remote_folder.open_copy(url))
    checkpoint.save(folder / "checkpoints", 15, {"a": np.arange(15)})
    write = remote._files.pipe_file

    def cut_off(path, value, **options):
        if path.endswith(checkpoint.MANIFEST):
            raise OSError("connection reset")
        write(path, value, **options)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="reset"):
        patch.setattr(remote._files, "pipe_file", cut_off)
        remote.upload(folder)
    assert content(remote_folder.open_copy(url)) == before
    remote.upload(folder)
    assert content(remote_folder.open_copy(url)) == content(folder)


def test_where_there_is_no_run_or_no_file_system_one_line_says_so(url):
    with pytest.raises(InputError, match="there is no run at"):
        remote_folder.open_copy(url)
    with pytest.raises(InputError, match="cannot reach nowhere://a"):
        remote_folder.open_copy("nowhere://a")


CONFIG = f"""
{TINY}[workers]
pool = "in-process"
[checkpoint]
every = 2
"""


def train(*arguments):
    return cli.main([*map(str, arguments)])


@pytest.mark.usefixtures("standard_promotion")
def test_a_run_at_a_url_goes_on_elsewhere_to_the_same_bits(url, tmp_path, monkeypatch, capsys):
    config, here = tmp_path / "run.toml", tmp_path / "here"
    config.write_text(CONFIG)
    begin = ["train", "--config", config, "--learner.num-steps"]
    upload, refused = RemoteFolder.upload, [4]

    def uncertain(remote, folder):
        newest = checkpoint.steps(folder / "checkpoints")[-1:]
        if newest == refused[:1]:
            refused.clear()
            raise OSError("connection reset")
        upload(remote, folder)

    monkeypatch.setattr(RemoteFolder, "upload", uncertain)
    assert train(*begin, 6, "--out", url) == 0
    assert refused == []
    monkeypatch.setattr(remote_folder, "COPIES", tmp_path / "other machine")
    assert train("resume", url, "--learner.num-steps", 8) == 0
    assert train(*begin, 8, "--out", here) == 0
    assert train("runs", "download", url, tmp_path / "downloaded") == 0
    arrays = [
        checkpoint.at(p / "checkpoints", 8) / checkpoint.ARRAYS
        for p in (here, tmp_path / "downloaded")
    ]
    assert arrays[0].read_bytes() == arrays[1].read_bytes()
    assert train(*begin, 8, "--out", url) == 2
    assert f"there is a run at {url}" in capsys.readouterr().err
