"""A service over a folder, whose launcher only pretends."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pretended_launcher import DeskHere, FakeLauncher
from starlette.testclient import TestClient
from tiny_run import TINY

from workers.service import app
from workers.service.control import Control
from workers.service.settings import Settings

LONG = f"# Quadratics, for long.\n{TINY}[learner]\nnum_steps = 1000000\n[workers]\nnumber = 2\n"


@dataclasses.dataclass(frozen=True)
class ServedRuns:
    """A service, and what is behind it."""

    http: TestClient
    root: Path
    launcher: FakeLauncher
    control: Control

    def start(self, key: str | None = None, **asked: Any) -> Any:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"recipe": "long", **asked}
        return self.http.post("/v1/runs", json=body, headers=headers)

    def audit(self) -> list[dict[str, Any]]:
        return self.http.get("/v1/audit").json()["entries"]

    def says(self, run: str, state: str, step: int = 0) -> None:
        """Writes what a run writes, with a checkpoint at `step`."""
        folder = self.root / run
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text((self.root.parent / "recipes/long.toml").read_text())
        now = time.time()
        status = {"state": state, "began": now, "heartbeat": now, "host": "elsewhere", "pid": 1}
        (folder / "status.json").write_text(json.dumps({**status, "attempt": 0}))
        if step:
            (folder / f"checkpoints/step_{step:06d}").mkdir(parents=True, exist_ok=True)
        self.control.shown(run)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServedRuns]]:
    """Makes a service, with settings that are given."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "long.toml").write_text(LONG)
    (tmp_path / "runs").mkdir()

    running = contextlib.ExitStack()

    def made(**given: Any) -> ServedRuns:
        settings = Settings(
            root=str(tmp_path / "runs"),
            index=tmp_path / "index.sqlite",
            recipes=tmp_path / "recipes",
            rate=0,
            change_rate=0,
            **given,
        )
        launcher = FakeLauncher()
        built = app.build(settings, launcher, DeskHere())
        client = TestClient(app.guarded(built), base_url="http://localhost:8700")
        http = running.enter_context(client)
        return ServedRuns(http, tmp_path / "runs", launcher, built.state.backend.control)

    with running:
        yield made


@pytest.fixture
def served(serve: Callable[..., ServedRuns]) -> ServedRuns:
    """A service that anyone may ask."""
    return serve()
