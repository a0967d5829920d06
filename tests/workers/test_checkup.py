"""What is wrong with a machine is found, said, and in the exit status."""

import json
import os
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from workers import checkup, cli

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    return tmp_path


def test_what_is_installed_and_what_is_not(monkeypatch):
    assert checkup.versions().state == "ok"
    assert "ray 2." in checkup.versions().found
    monkeypatch.setattr(checkup, "LIBRARIES", ("jax", "no-such-library"))
    finding = checkup.versions()
    assert (finding.state, finding.found) == ("failed", "no no-such-library")


def test_too_little_memory_and_disk(machine, monkeypatch):
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: Usage(2**40, 0, 64 * 2**20))
    for finding in (checkup.shared_memory(machine), checkup.disk(machine / "runs")):
        assert finding.state == "failed"
        assert "64 MiB free" in finding.found
        assert finding.advice
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: Usage(2**40, 0, 2**39))
    assert checkup.disk(machine / "runs").state == "ok"


def test_a_clock_that_is_not_that_of_the_disk(machine, monkeypatch):
    assert checkup.clock(machine).state == "ok"
    now = checkup.time.time()
    monkeypatch.setattr(checkup.time, "time", lambda: now + 60)
    finding = checkup.clock(machine)
    assert finding.state == "warning"
    assert "+60 s" in finding.found


def test_tokens(machine, monkeypatch):
    assert checkup.token().found == "RAY_AUTH_MODE=token, and no token"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "very-secret")
    finding = checkup.token()
    assert finding.state == "ok"
    assert "very-secret" not in str(finding)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    assert checkup.token().state == "warning"


@pytest.mark.parametrize(
    ("folder", "file", "state"),
    [(0o755, 0o644, "failed"), (0o755, 0o600, "ok"), (0o700, 0o644, "ok")],
)
def test_a_token_that_others_can_read(folder, file, state, machine, monkeypatch):
    path = machine / "token"
    path.write_text("very-secret")
    path.chmod(file)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    stat = Path.stat

    def of_parents(self, **options):  # of which some are closed on machines that run tests
        found = stat(self, **options)
        mode = folder if self == path.parent else 0o755 if self in path.parents else found.st_mode
        return os.stat_result((mode, *found[1:]))

    monkeypatch.setattr(Path, "stat", of_parents)
    assert checkup.token().state == state


def test_a_cache_that_others_can_write(machine, monkeypatch):
    assert checkup.cache().state == "ok"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(machine / "shared"))
    (machine / "shared").mkdir()
    (machine / "shared").chmod(0o777)
    assert checkup.cache().state == "failed"


def test_what_hangs_is_ended():
    done = checkup._run([sys.executable, "-c", "import time; time.sleep(60)"], seconds=0.3)
    assert (done.status, done.last_line) == (1, "no end after 0 s")


def test_a_device_that_does_not_start(monkeypatch):
    monkeypatch.setattr(checkup, "DEVICES", "raise RuntimeError('no driver')")
    finding = checkup.devices()
    assert (finding.state, finding.found) == ("failed", "RuntimeError: no driver")


def test_failures_are_in_the_exit_status(machine, monkeypatch, capsys):
    found = checkup.Finding("devices", "ok", "1 x cpu")
    monkeypatch.setattr(checkup, "devices", lambda: found)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "very-secret")
    command = ["doctor", "--skip-run", "--out", str(machine), "--json"]
    assert cli.main(command) == 0
    checks = [record["check"] for record in json.loads(capsys.readouterr().out)]
    assert checks[:2] == ["versions", "devices"]
    assert "small run" not in checks
    monkeypatch.setattr(checkup, "devices", lambda: found._replace(state="failed"))
    assert cli.main(command) == 1


def test_a_small_run_that_does_not_come_to_its_end(monkeypatch):
    done = checkup._Done(status=2, output="", last_line="no Ray cluster at address 'local'")
    monkeypatch.setattr(checkup, "_run", lambda command, seconds: done)
    finding = checkup.small_run("local")
    assert (finding.state, finding.found) == ("failed", done.last_line)


@pytest.mark.ray
@pytest.mark.slow
def test_a_small_run_from_end_to_end(cluster_address):
    finding = checkup.small_run(cluster_address)
    assert finding.state == "ok", finding
