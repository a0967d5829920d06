from pathlib import Path

import pytest

from taskset.errors import InputError
from workers import run_folder
from workers.config import RunConfig


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)


def test_a_run_is_named_after_its_configuration_and_latest_points_to_it():
    folder = run_folder.choose(None, Path("recipes/digits.toml"))
    assert folder.path.parent == Path("runs")
    assert folder.path.name.startswith("digits-2")
    assert not Path("runs").exists()
    run_folder.create(folder, RunConfig(seed=3))
    assert RunConfig.load(Path("runs/latest/config.toml")) == RunConfig(seed=3)
    second = run_folder.RunFolder(Path("runs/second"))
    run_folder.create(second, RunConfig())
    assert Path("runs/latest").resolve().name == "second"
    assert sorted(p.name for p in Path("runs").iterdir()) == sorted(
        [folder.path.name, "second", "latest"]
    )


def test_a_chosen_folder_elsewhere_leaves_no_link():
    folder = run_folder.choose(Path("mine/run"), None)
    run_folder.create(folder, RunConfig())
    assert [p.name for p in Path("mine").iterdir()] == ["run"]
    with pytest.raises(InputError, match=r"mine/run exists; .*--resume mine/run"):
        run_folder.choose(Path("mine/run"), None)


def test_a_folder_that_cannot_be_made_is_refused():
    Path("file").write_text("")
    with pytest.raises(InputError, match=r"cannot make run folder file/run: Not a directory"):
        run_folder.create(run_folder.choose(Path("file/run"), None), RunConfig())


def test_what_is_no_run_is_refused():
    with pytest.raises(InputError, match=r"is not a run: it has no config.toml"):
        run_folder.open_existing(Path("."))
