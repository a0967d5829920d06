import tempfile

import pytest

from taskset.data import sources


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty folder of data, and nothing remembered from another one."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("METAOPT_DATA_DIR", str(folder))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # TFDS leaves empty folders there
    sources.load.cache_clear()
    sources.info.cache_clear()
    yield folder
    sources.load.cache_clear()
    sources.info.cache_clear()
