"""Files that are replaced: whole for any reader, with any number of writers."""

import os
import stat
import threading
from pathlib import Path

import pytest

from taskset import whole_files


def test_a_file_is_made_and_replaced_and_nothing_else_stays(tmp_path: Path):
    for content in (b"first", b""):
        whole_files.replace(tmp_path / "file.json", content)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [content]


def test_it_can_be_read_by_whom_a_new_file_can(tmp_path: Path):
    whole_files.replace(tmp_path / "file", b"")
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.timeout(60)
def test_readers_see_whole_files_while_several_write(tmp_path: Path):
    path, size, whole = tmp_path / "file", 100_000, []
    whole_files.replace(path, b"0" * size)
    write = lambda digit: [whole_files.replace(path, digit * size) for _ in range(20)]
    writers = [threading.Thread(target=write, args=(digit,)) for digit in (b"1", b"2", b"3")]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        content = path.read_bytes()
        whole.append(len(content) == size and len(set(content)) == 1)
    assert whole and all(whole)
    assert os.listdir(tmp_path) == ["file"]


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path, monkeypatch):
    whole_files.replace(tmp_path / "file", b"old")

    def full_disk(path: Path, content: bytes):
        path.write_bytes(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_files, "write_durably", full_disk)
    with pytest.raises(OSError, match="No space left"):
        whole_files.replace(tmp_path / "file", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_new_folder_is_whole_or_not_there(tmp_path):
    place = tmp_path / "above" / "folder"
    with pytest.raises(ZeroDivisionError), whole_files.new_folder(place) as folder:
        (folder / "half").write_bytes(b"1")
        _ = 1 / 0
    assert list(place.parent.iterdir()) == []
    with whole_files.new_folder(place) as folder:
        (folder / "whole").write_bytes(b"2")
        assert not place.exists()
    assert [file.name for file in place.iterdir()] == ["whole"]
    with pytest.raises(OSError), whole_files.new_folder(place) as folder:
        (folder / "other").write_bytes(b"3")
    assert [file.name for file in place.parent.rglob("*")] == ["folder", "whole"]
