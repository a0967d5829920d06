"""The token of a Ray cluster is nowhere that somebody else could read it."""

import os
from pathlib import Path

import pytest
from tiny_run import TINY

from workers import cli

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RUN = f"""
{TINY}[learner]
num_steps = 2
[workers]
pool = "ray"
"""


def containing(secret: str, folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if secret.encode() in path.read_bytes()]


def commands_of_processes() -> str:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:  # it has ended meanwhile
            continue
    return b"\n".join(found).decode(errors="replace")


def test_a_run_does_not_tell_the_token(ray_address, tmp_path, monkeypatch, capfd):
    import ray

    token = os.environ["RAY_AUTH_TOKEN"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.toml").write_text(RUN)
    assert (
        cli.main(["train", "--config", "run.toml", "--out", "run", "--address", ray_address]) == 0
    )
    shown = capfd.readouterr()
    assert token not in shown.out + shown.err
    assert containing(token, tmp_path / "run") == []
    logs = Path(ray._private.worker.global_worker.node.get_logs_dir_path())
    assert containing(token, logs) == []
    running = commands_of_processes()
    assert "raylet" in running
    assert token not in running
