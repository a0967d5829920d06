"""Run folders as runs write them, without a run: for whatever reads them."""

import json
import math
import os
import platform
import time
from pathlib import Path
from typing import Any

CONFIG = """
tasks = ["mlp:dataset=digits,hidden=32"]
[optimizer]
kind = "FactoredMLP"
[estimator]
kind = "PersistentES"
[learner]
num_steps = {num_steps}
[workers]
number = 2
"""


def record(step: int, **more: Any) -> dict[str, Any]:
    """That of an outer step, of the shape of `metaopt.telemetry.step_record`."""
    loss = 0.1 + math.exp(-step / 300) + 0.01 * math.sin(12.9898 * step)
    tasks = {f"mlp_family_seed{step % 7}": {"meta_loss": loss, "nonfinite_runs": 0.0}}
    tasks["quadratic:dim=2"] = {"meta_loss": loss / 2, "nonfinite_runs": float(step % 50 == 0)}
    late = step % 10 == 0
    loss_of = {"cause": "stale", "worker": 1, "task": "quadratic:dim=2", "staleness": 2}
    return {
        "step": step,
        "meta_loss": loss,
        "gradient_norm": 1 / (1 + step / 100),
        "gradient_noise": {"signal": 0.5, "noise": 0.1, "ratio": 5.0},
        "weight": 32.0,
        "nonfinite_runs": float(step % 50 == 0),
        "seconds": 0.5,
        "compile_seconds": 0.0,
        "compile_share": 0.0,
        "inner_steps_per_second": 5000.0,
        "workers": {"running": 2, "suspect": 0, "restarting": 0},
        "staleness": 1,
        "used_by_staleness": {"0": 1, "1": 1},
        "effective_staleness": 0.5,
        "tasks": tasks,
        "dropped": {"stale": 1} if late else {},
        "losses": [loss_of] if late else [],
        "explanations": [],
        **more,
    }


def lines(first: int, last: int, **more: Any) -> str:
    """The records of outer steps `first` to `last`."""
    return "".join(json.dumps(record(step, **more)) + "\n" for step in range(first, last + 1))


class Folder:
    """The folder of a run that is made up."""

    def __init__(self, root: Path, name: str, num_steps: int = 1000, config: str = CONFIG):
        self.path = root / name
        self.path.mkdir(parents=True)
        self.metrics = self.path / "metrics.jsonl"
        (self.path / "config.toml").write_text(config.format(num_steps=num_steps))

    def write(self, first: int, last: int, **more: Any) -> "Folder":
        """Adds the records of outer steps `first` to `last`."""
        with self.metrics.open("a") as file:
            file.write(lines(first, last, **more))
        return self

    def go_on_from(self, step: int) -> "Folder":
        """Drops the later records, as a run does that goes on from an earlier checkpoint."""
        kept = [
            x for x in self.metrics.read_text().splitlines(True) if json.loads(x)["step"] <= step
        ]
        partial = self.path / "metrics.jsonl.part"
        partial.write_text("".join(kept))
        partial.replace(self.metrics)
        return self

    def status(self, state: str = "running", age: float = 0.0, **more: Any) -> "Folder":
        """Says how the run fares, `age` seconds ago; by default it is this process."""
        at = time.time() - age
        said = {"state": state, "attempt": 0, "host": platform.node(), "pid": os.getpid()}
        said |= {"began": at - 1, "heartbeat": at, "ended": None if state == "running" else at}
        return self.write_json("status.json", said | {"reason": "", "submission": None} | more)

    def workers(self, *workers: dict[str, Any]) -> "Folder":
        """Says what its workers do."""
        return self.write_json("workers.json", {"at": time.time(), "workers": list(workers)})

    def checkpoint(self, step: int, size: int = 100) -> "Folder":
        """A checkpoint that looks like one."""
        folder = self.path / "checkpoints" / f"step_{step:06d}"
        folder.mkdir(parents=True)
        (folder / "arrays.safetensors").write_bytes(bytes(size))
        (folder / "manifest.json").write_text("{}")
        return self

    def evaluation(self, suite: str, report: str) -> "Folder":
        """The report of an evaluation."""
        folder = self.path / "evaluation" / suite
        folder.mkdir(parents=True)
        (folder / "report.html").write_text(report)
        return self

    def write_json(self, name: str, content: Any) -> "Folder":
        """Replaces a file, as runs do."""
        partial = self.path / f"{name}.part"
        partial.write_text(json.dumps(content))
        partial.replace(self.path / name)
        return self
