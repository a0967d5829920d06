"""A worker's environment: one core, no GPU that is not its own, programs kept on this machine."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from workers.environment import cache_variables, compilation_cache, worker_environment

NAMES = ["NPROC", "JAX_PLATFORMS", "XLA_PYTHON_CLIENT_MEM_FRACTION", "JAX_COMPILATION_CACHE_DIR"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_worker_is_one_core_without_a_gpu():
    environment = worker_environment()
    assert (environment["NPROC"], environment["JAX_PLATFORMS"]) == ("1", "cpu")
    assert "XLA_PYTHON_CLIENT_MEM_FRACTION" not in environment


@pytest.mark.parametrize(("share", "memory"), [(0.25, "0.225"), (0.5, "0.450"), (1.0, None)])
def test_a_share_of_a_gpu_is_that_share_of_its_memory(share, memory):
    environment = worker_environment(share)
    assert "JAX_PLATFORMS" not in environment
    assert environment.get("XLA_PYTHON_CLIENT_MEM_FRACTION") == memory


def test_what_is_set_already_is_kept(monkeypatch):
    monkeypatch.setenv("NPROC", "4")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    environment = worker_environment()
    assert (environment["NPROC"], environment["JAX_COMPILATION_CACHE_DIR"]) == ("4", "/elsewhere")


def test_only_the_user_can_write_compiled_programs(home):
    folder = Path(worker_environment()["JAX_COMPILATION_CACHE_DIR"])
    assert folder == compilation_cache()
    assert folder.is_relative_to(home / ".cache" / "metaopt" / "jax")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_programs_in_a_folder_of_someone_else_are_not_used(monkeypatch):
    cache_variables()
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert cache_variables() == {}


def test_without_a_place_for_it_there_is_no_cache(home):
    (home / ".cache").write_text("a file where the folder would be")
    assert "JAX_COMPILATION_CACHE_DIR" not in worker_environment()


@pytest.mark.parametrize("module", ["environment", "host", "ray_cluster"])
def test_modules_that_come_before_jax_do_not_import_it(module):
    code = f"import sys, workers.{module}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
