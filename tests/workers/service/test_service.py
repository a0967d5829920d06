import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from run_folders import Folder, record
from starlette.testclient import TestClient

from metaopt.client.models import EventPage, FamilyProgress, Metrics, Run, RunPage, Workers
from taskset.errors import InputError
from workers.service import app
from workers.service import ingest as ingests
from workers.service.configuration import family_of
from workers.service.desk import Desk
from workers.service.fleet import Fleet
from workers.service.problems import Refusal
from workers.service.settings import Settings

TOKEN = "0123456789abcdefghij"


class NoDesk(Desk):
    """Has no recipes; a process that would read them takes seconds to start."""

    def ask(self, question: Any, *arguments: Any, **named: Any) -> Any:
        raise Refusal(503, "no desk")


class Served:
    """A service over a folder, and what it knows."""

    def __init__(self, root: Path, index: Path, **given: Any):
        settings = Settings(root=str(root), index=index, rate=0, **given)
        self.built = app.build(settings, desk=NoDesk())
        self.http = TestClient(app.guarded(self.built), base_url="http://localhost")

    @property
    def fleet(self) -> Fleet:
        return self.built.state.backend.fleet

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(f"/v1/{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settle(self) -> "Served":
        """Waits until all that is there is known."""
        end = time.monotonic() + 30
        while self.http.get("/readyz").status_code != 200:
            assert time.monotonic() < end
            time.sleep(0.01)
        for run in list(self.fleet):
            self.fleet.rounds.another(run)
        return self


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a service over tmp_path / "runs"; all end with the test."""
    running: list[TestClient] = []
    (tmp_path / "runs").mkdir()

    def start(index: Path | None = None, **given: Any) -> Served:
        served = Served(tmp_path / "runs", index or tmp_path / "index.sqlite", **given)
        served.http.__enter__()
        running.append(served.http)
        return served.settle()

    yield start
    for http in running:
        if http.portal is not None:
            http.__exit__(None, None, None)


def stop(served: Served) -> None:
    served.http.__exit__(None, None, None)
    served.http.portal = None


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def test_a_run_is_shown_as_its_folder_says(serve, runs):
    worker = {"worker": 0, "task": "t", "state": "running", "pid": 3, "results": 4, "failures": 0}
    folder = Folder(runs, "one", 300).write(1, 100).status().workers(worker)
    folder.write(101, 101, validation={"score": 0.25, "best": 0.25, "best_step": 101, "losses": {}})
    folder.checkpoint(50, 1000).checkpoint(101).evaluation("tiny", "<h1>x</h1>")
    served = serve()
    run = Run.model_validate(served.get("runs/one"))
    assert (run.state, run.kind, run.step, run.num_steps) == ("running", "train", 101, 300)
    assert (run.optimizer, run.estimator) == ("FactoredMLP", "PersistentES")
    assert run.meta_loss == record(101)["meta_loss"]
    assert run.best == 0.25
    assert run.seconds_left == pytest.approx(0.5 * 199)
    assert run.workers == {"running": 2}
    assert 50 <= len(run.sparkline) <= 60
    assert [(c.step, c.bytes, c.best) for c in run.checkpoints] == [
        (50, 1002, False),
        (101, 102, True),
    ]
    assert run.evaluations == ["tiny"]
    assert "num_steps = 300" in run.config
    assert {"meta_loss", "gradient_noise/ratio", "tasks/quadratic:dim=2/meta_loss"} <= {
        *run.metrics
    }
    assert [t.state for t in run.transitions] == ["running"]
    assert "stop" in run.actions
    workers = Workers.model_validate(served.get("runs/one/workers"))
    assert [w.results for w in workers.workers] == [4]
    assert served.http.get("/v1/runs/one/evaluations/tiny/report").text == "<h1>x</h1>"
    assert served.http.get("/v1/runs/one/evaluations/none/report").status_code == 404


def test_curves_in_parts_and_exactly(serve, runs):
    Folder(runs, "one", 10_000).write(1, 5000).status()
    served = serve()
    whole = Metrics.model_validate(served.get("runs/one/metrics", points=100))
    series = whole.series["meta_loss"]
    assert (whole.step, series.step[-1]) == (5000, 5000)
    assert 50 <= len(series.step) <= 100
    names = ["meta_loss", "seconds", "tasks/quadratic:dim=2/meta_loss", "none"]
    exact = Metrics.model_validate(
        served.get("runs/one/metrics", first=1001, last=1100, name=names)
    )
    assert set(exact.series) == set(names[:3])
    assert exact.series["meta_loss"].step == [*range(1001, 1101)]
    assert exact.series["meta_loss"].mean == [record(s)["meta_loss"] for s in range(1001, 1101)]
    assert exact.series["meta_loss"].seconds[:2] == [500.5, 501.0]
    beyond = Metrics.model_validate(served.get("runs/one/metrics", first=9000))
    assert beyond.series["meta_loss"].step == []
    assert served.get("runs/one/metrics", first=50, last=40)["series"]["meta_loss"]["step"] == []


def test_events_by_kind_and_in_pages(serve, runs):
    Folder(runs, "one").write(1, 100).write(
        101, 101, explanations=[{"worker": 1, "task": "t", "explanation": "diverged"}]
    ).status()
    served = serve()
    page = EventPage.model_validate(served.get("runs/one/events", limit=4))
    ids = [int(event.id) for event in page.events]
    assert ids == sorted(ids, reverse=True)
    assert page.counts == {"stale": 10}
    (why,) = EventPage.model_validate(served.get("runs/one/events", kind="explanation")).events
    assert (why.step, why.worker, why.task, why.text) == (101, 1, "t", "diverged")
    found, cursor = [], None
    while True:
        query = {"limit": 3, "kind": "loss"} | ({"cursor": cursor} if cursor else {})
        part = EventPage.model_validate(served.get("runs/one/events", **query))
        found += [event.step for event in part.events]
        cursor = part.next
        if cursor is None:
            break
    assert found == [*range(100, 0, -10)]
    after = served.get("runs/one/events", after=page.events[0].id)
    assert after["events"] == []


def test_families(serve, runs):
    Folder(runs, "one").write(1, 100).status()
    mlp, quadratic = map(FamilyProgress.model_validate, serve().get("runs/one/families"))
    assert (mlp.family, mlp.tasks, mlp.estimates) == ("mlp_family", 7, 100)
    assert (quadratic.family, quadratic.tasks, quadratic.nonfinite_runs) == ("quadratic", 1, 2)
    assert quadratic.share == [0.5] * 10
    assert (mlp.first, mlp.last) == (record(1)["meta_loss"], record(100)["meta_loss"])


@pytest.mark.parametrize(
    "task,family",
    [
        ("mlp_family_seed7:source=embedded", "mlp_family"),
        ("quadratic:dim=2", "quadratic"),
        ("FixedMLP_x_seed", "FixedMLP_x_seed"),
        ("mlp+rescale_loss:spread=10", "mlp"),
    ],
)
def test_the_family_of_a_task(task, family):
    assert family_of(task) == family


def test_runs_are_listed_filtered_and_in_pages(serve, runs):
    states = {"a": "succeeded", "b": "failed", "c": "running", "d": "stopped"}
    for age, (name, state) in enumerate(states.items()):
        Folder(runs, name).write(1, 3).status(state, began=time.time() - 100 * age)
    served = serve()
    page = RunPage.model_validate(served.get("runs"))
    assert [run.id for run in page.runs] == ["a", "b", "c", "d"]
    assert [r["id"] for r in served.get("runs", state=["failed", "stopped"])["runs"]] == ["b", "d"]
    assert served.get("runs", text="FACTOREDmlp")["total"] == 4
    assert served.get("runs", text="nothing") == {"runs": [], "total": 0, "next": None}
    found, cursor = [], None
    while True:
        part = served.get("runs", limit=3, **({"cursor": cursor} if cursor else {}))
        found.append([run["id"] for run in part["runs"]])
        assert part["total"] == 4
        cursor = part["next"]
        if cursor is None:
            break
    assert found == [["a", "b", "c"], ["d"]]


def test_changes_are_noticed(serve, runs, monkeypatch):
    folder = Folder(runs, "one").write(1, 50).status()
    served = serve()
    folder.write(51, 60).go_on_from(20).write(21, 25).status("stopped", reason="by SIGTERM")
    run = served.fleet.fresh("one")
    assert (run.step, run.state, run.reason) == (25, "stopped", "by SIGTERM")
    assert [t.state for t in run.transitions] == ["running", "stopped"]
    kinds = [event["kind"] for event in served.get("runs/one/events", limit=2)["events"]]
    assert kinds == ["state", "rewind"]
    assert served.get("runs/one/events")["counts"] == {"stale": 2}
    Folder(runs, "two").write(1, 5)
    assert served.http.get("/v1/runs/two").status_code == 200  # at once
    (runs / "two").rename(runs.parent / "moved")
    served.fleet.rounds.another("two")
    assert served.http.get("/v1/runs/two").status_code == 404


def stored(served: Served) -> dict[str, Any]:
    """What is told of a run that must not depend on the index."""
    run = served.get("runs/one")
    events = served.get("runs/one/events", kind="loss", limit=500)
    families = served.get("runs/one/families")
    return {
        "run": {k: v for k, v in run.items() if k not in ("transitions", "sparkline")},
        "curve": served.get("runs/one/metrics")["series"]["meta_loss"]["min"],
        "families": [(f["family"], f["tasks"], f["estimates"], f["share"]) for f in families],
        "events": [{k: v for k, v in e.items() if k != "id"} for e in events["events"]],
        "counts": events["counts"],
    }


def test_after_a_restart_nothing_is_read_again(serve, runs, monkeypatch):
    folder = Folder(runs, "one", 3000).write(1, 2000).status("stopped")
    first = serve()
    before = stored(first)
    stop(first)
    read = []
    read_on = ingests.read_on
    monkeypatch.setattr(ingests, "read_on", lambda *a: read.append(read_on(*a)) or read[-1])
    second = serve()
    assert sum(gain.lines for gain in read) == 0
    assert stored(second) == before
    assert [t["state"] for t in second.get("runs/one")["transitions"]] == ["stopped"]
    stop(second)
    folder.write(2001, 2010)
    third = serve()
    assert third.get("runs/one")["step"] == 2010
    assert sum(gain.lines for gain in read) == 10


def spoil(index: Path, how: str) -> None:
    if how == "deleted":
        index.unlink()
    elif how == "foreign":
        index.write_bytes(b"something else" * 1000)
    elif how == "damaged":
        content = bytearray(index.read_bytes())
        content[4096:12288] = bytes(range(256)) * 32
        index.write_bytes(content)
    elif how == "cut":
        index.write_bytes(index.read_bytes()[:5000])
    else:
        with sqlite3.connect(index) as connection:
            changes = {
                "older": "update meta set value = '0' where name = 'version'",
                "of another root": "update meta set value = '/x' where name = 'root'",
                "without a table": "drop table events",
                "with another history": "update runs set history = x'00ff'",
            }
            connection.execute(changes[how])
        connection.close()


@pytest.mark.parametrize(
    "how",
    [
        "deleted",
        "foreign",
        "damaged",
        "cut",
        "older",
        "of another root",
        "without a table",
        "with another history",
    ],
)
def test_an_index_that_is_of_no_use_is_made_anew(serve, runs, tmp_path, how):
    Folder(runs, "one", 3000).write(1, 1500).status("stopped")
    first = serve()
    before = stored(first)
    newest = int(first.get("runs/one/events", limit=1)["events"][0]["id"])
    stop(first)
    spoil(tmp_path / "index.sqlite", how)
    second = serve()
    assert stored(second) == before
    if how != "with another history":
        assert int(second.get("runs/one/events", limit=1)["events"][0]["id"]) > newest


def test_a_run_folder_that_is_half_written(serve, runs):
    folder = Folder(runs, "one").write(1, 10)
    for name in ("status.json", "workers.json"):
        (folder.path / name).write_text('{"state": "runn')
    (folder.path / "checkpoints" / "step_x").mkdir(parents=True)
    (folder.path / "checkpoints" / ".step_000010.77").mkdir()
    with folder.metrics.open("a") as file:
        file.write('{"step": 11, "meta_l')
    (runs / "two").mkdir()
    (runs / "two" / "config.toml").write_text("")
    served = serve()
    assert served.get("runs/one")["step"] == 10
    assert served.get("runs/one")["checkpoints"] == []
    assert served.get("runs/two")["kind"] == "unreadable"
    assert served.get("runs/two/metrics")["series"] == {}
    assert served.get("runs/two/families") == []


def test_a_root_that_goes_away_and_comes_back(serve, runs, monkeypatch):
    Folder(runs, "one").write(1, 10).status("stopped")
    served = serve()
    runs.rename(runs.parent / "away")
    served.fleet.rounds.another("one")
    assert served.get("runs/one/metrics")["step"] == 10  # what was known is told
    monkeypatch.setattr(ingests, "FRESH", 0.0)
    answer = served.http.get("/readyz")
    assert answer.status_code == 503
    assert "cannot be read" in answer.json()["detail"]
    assert served.http.get("/healthz").status_code == 200
    monkeypatch.undo()
    (runs.parent / "away").rename(runs)
    assert served.settle().get("runs/one")["step"] == 10


def test_curves_that_nobody_looks_at_are_not_kept_in_memory(serve, runs, monkeypatch):
    monkeypatch.setattr(ingests, "LOADED", 2)
    for name in "abcde":
        Folder(runs, name).write(1, 20).status("stopped")
    served = serve()
    served.fleet.rounds.another("a")
    assert sum(known.is_loaded for known in served.fleet.runs.values()) <= 2
    steps = [served.get(f"runs/{name}/metrics")["series"]["meta_loss"]["step"] for name in "abcde"]
    assert steps == [[*range(1, 21)]] * 5


def test_runs_at_a_url(tmp_path):
    import fsspec

    files = fsspec.filesystem("memory")
    folder = Folder(tmp_path, "one").write(1, 30).status("stopped").checkpoint(20)
    for path in folder.path.rglob("*"):
        if path.is_file():
            files.pipe_file(f"/bucket/{path.relative_to(tmp_path)}", path.read_bytes())
    from workers.service.files import open_root
    from workers.service.history import History
    from workers.service.store import Store
    from workers.service.tail import read_on

    store, history = Store(open_root("memory://bucket")), History()
    assert store.names() == ["one"]
    assert read_on(store, "one", history, store.metrics("one")).lines == 30
    files.pipe_file("/bucket/one/metrics.jsonl", folder.go_on_from(12).metrics.read_bytes())
    assert read_on(store, "one", history, store.metrics("one")).rewound == 12
    assert [c.step for c in store.checkpoints("one")] == [20]
    assert store.files.read(("..", "bucket", "one", "config.toml")) is None


def test_measures_for_prometheus(serve, runs):
    Folder(runs, "one").write(1, 10).status("stopped")
    served = serve()
    served.get("runs/one")
    served.http.get("/v1/runs/none")
    text = served.http.get("/metrics").text
    assert 'metaopt_service_runs{state="stopped"} 1.0' in text
    assert 'requests_total{method="GET",route="/v1/runs/{run}",status="404"} 1.0' in text
    assert 'request_seconds_count{route="/v1/runs/{run}"} 2.0' in text
    assert "metaopt_service_streams 0.0" in text
    assert "metaopt_service_unread_bytes 0.0" in text


def test_requests_are_logged_without_what_they_carry(serve, runs, caplog):
    from workers.service.observed import JsonLines

    caplog.set_level("INFO")
    served = serve(tokens={TOKEN: "alice"})
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = served.http.get(f"/v1/runs?text={TOKEN}", headers=headers)
    lines = [JsonLines().format(r) for r in caplog.records if r.name.endswith("observed")]
    said = next(json.loads(line) for line in lines if '"/v1/runs"' in line)
    assert (said["user"], said["status"], said["path"]) == ("alice", 200, "/v1/runs")
    assert len(answer.headers["x-request-id"]) == 16
    assert not any(TOKEN in line for line in lines)


def test_a_root_that_is_no_folder(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        app.build(Settings(root=str(tmp_path / "none")))


def test_the_command_needs_its_libraries(monkeypatch, capsys):
    import sys

    from workers import cli

    monkeypatch.setitem(sys.modules, "workers.service.server", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["serve"])
    missing = ModuleNotFoundError("no", name="uvicorn")
    import builtins

    real = builtins.__import__

    def imports(name, *rest, **named):
        if name == "workers.service":
            raise missing
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", imports)
    assert cli.main(["serve"]) == cli.USAGE_ERROR
    assert "pip install 'metaopt[service]'" in capsys.readouterr().err
