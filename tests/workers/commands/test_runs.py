import json
import os
import platform
import time
from pathlib import Path

import pytest

from workers import cli

CONFIG = "[learner]\nnum_steps = 10\n"


def make(folder: Path, steps: int, age: float, checkpoints: int = 0, seconds: float = 1.0) -> Path:
    """A run with as many records, that wrote the last one `age` seconds ago."""
    folder.mkdir(parents=True)
    lines = [{"step": i + 1, "meta_loss": 1.0 / (i + 1), "seconds": seconds} for i in range(steps)]
    (folder / "config.toml").write_text(CONFIG)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in range(checkpoints):
        (folder / "checkpoints" / f"step_{step:06d}").mkdir(parents=True)
    for path in (folder / "config.toml", folder / "metrics.jsonl"):
        os.utime(path, times=(time.time() - age,) * 2)
    return folder


def listed(folder: Path, capsys) -> dict[str, dict]:
    assert cli.main(["runs", "list", str(folder), "--json"]) == 0
    return {Path(r["run"]).name: r for r in json.loads(capsys.readouterr().out)}


def test_the_state_of_a_run_is_what_is_there(tmp_path, capsys):
    make(tmp_path / "finished", steps=10, age=1e6, checkpoints=2)
    make(tmp_path / "running", steps=4, age=5, checkpoints=1)
    make(tmp_path / "slow", steps=4, age=500, seconds=100.0)
    make(tmp_path / "resumable", steps=4, age=500, checkpoints=3)
    make(tmp_path / "lost", steps=4, age=500)
    said = {"attempt": 0, "host": "elsewhere", "pid": 1, "began": 0.0, "heartbeat": time.time()}
    for state in ("running", "stopped", "failed"):
        folder = make(tmp_path / f"said {state}", steps=4, age=5)
        (folder / "status.json").write_text(json.dumps({"state": state, **said}))
    (folder.parent / "said running" / "status.json").write_text(
        json.dumps({"state": "running", **said, "host": platform.node(), "pid": 2**22 - 1})
    )
    make(tmp_path / "begun", steps=0, age=5)
    (make(tmp_path / "unreadable", steps=4, age=1) / "config.toml").write_text("[learner")
    (tmp_path / "no run").mkdir()
    (tmp_path / "latest").symlink_to("running")
    found = listed(tmp_path, capsys)
    states = {name: record["state"] for name, record in found.items()}
    assert states == {
        "finished": "succeeded",
        "running": "running",
        "slow": "running",
        "resumable": "lost",
        "lost": "lost",
        "begun": "running",
        "said running": "running",
        "said stopped": "stopped",
        "said failed": "failed",
        "unreadable": "unreadable",
    }
    assert next(iter(found)) == "finished"  # wrote longest ago
    assert found["resumable"]["checkpoint"] == 2
    assert (found["running"]["outer step"], found["running"]["of"]) == (4, 10)
    assert found["running"]["meta-loss"] == pytest.approx(0.25)
    assert found["running"]["age"] == pytest.approx(5, abs=4)


def test_records_are_read_from_the_end(tmp_path, capsys, monkeypatch):
    from workers.commands import runs

    monkeypatch.setattr(runs, "TAIL_BYTES", 200)
    run = make(tmp_path / "long", steps=9, age=0)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 10, "meta_l')  # cut off by a kill
    assert listed(tmp_path, capsys)["long"]["outer step"] == 9


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert cli.main(["runs", "list", str(tmp_path / "none")]) == cli.USAGE_ERROR
    assert "is not a folder" in capsys.readouterr().err
