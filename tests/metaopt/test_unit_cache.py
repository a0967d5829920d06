"""What is kept of evaluations: whole, or not there."""

import pytest

from metaopt.unit_cache import UnitCache
from taskset.errors import InputError

KEY, OTHER = "ab" + 62 * "0", "cd" + 62 * "0"
RECORD = {"initial": 2.5, "result": {"curves": [[1.0, None]]}}


def test_what_is_kept_is_read_again_under_its_key_only(tmp_path):
    cache = UnitCache(tmp_path / "cache")
    assert cache.read(KEY) is None
    cache.write(KEY, RECORD)
    assert UnitCache(tmp_path / "cache").read(KEY) == RECORD
    assert cache.read(OTHER) is None
    cache.write(KEY, {"initial": 1.0})
    assert cache.read(KEY) == {"initial": 1.0}
    assert [path.name for path in tmp_path.rglob("*.json")] == [f"{KEY}.json"]
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    "content",
    [b"", b'{"key": "ab', b"[]", b"{}", b'{"key": "x", "record": {}}', b"\xff", b'{"record": 1}'],
)
def test_a_damaged_file_is_as_good_as_none(content: bytes, tmp_path):
    cache = UnitCache(tmp_path)
    cache.write(KEY, RECORD)
    next(tmp_path.rglob("*.json")).write_bytes(content)
    assert cache.read(KEY) is None
    cache.write(KEY, RECORD)
    assert cache.read(KEY) == RECORD


def test_a_record_under_the_name_of_another_is_not_taken_for_it(tmp_path):
    cache = UnitCache(tmp_path)
    cache.write(KEY, RECORD)
    cache.write(OTHER, {"initial": 0.0})
    one, other = (next(tmp_path.rglob(f"{key}.json")) for key in (KEY, OTHER))
    one.replace(other)
    assert cache.read(OTHER) is None


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*; give another --cache"):
        UnitCache(tmp_path / "file").write(KEY, RECORD)
