"""The Python client and `metaopt runs --server` against a service on a port of this machine."""

import io
import itertools
import json
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import uvicorn
from pretended_launcher import DeskHere, FakeLauncher
from run_folders import Folder

from metaopt.client import Client, ServiceError, streams
from workers import cli
from workers.service import app
from workers.service.settings import Settings

TOKEN = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("service") / "runs"


@pytest.fixture(scope="module")
def url(root: Path) -> Iterator[str]:
    """A service with two runs, one of which trains."""
    (root.parent / "recipes").mkdir()
    (root.parent / "recipes" / "long.toml").write_text('tasks = ["quadratic:dim=2"]\n')
    Folder(root, "live").write(1, 30).status().checkpoint(20).workers(
        {"worker": 0, "task": "quadratic:dim=2", "state": "running", "results": 3, "failures": 0}
    )
    Folder(root, "done", 20).write(1, 20).status("succeeded")
    settings = Settings(
        root=str(root),
        index=root.parent / "index.sqlite",
        recipes=root.parent / "recipes",
        tokens={TOKEN: "ann"},
        change_rate=0,
    )
    built = app.build(settings, FakeLauncher(), DeskHere())
    config = uvicorn.Config(app.guarded(built), port=0, log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    built.state.backend.hub.end()
    server.should_exit = True
    thread.join(timeout=30)
    assert not thread.is_alive()


@pytest.fixture
def client(url: str) -> Client:
    found = Client(url, TOKEN, seconds=10)
    end = time.monotonic() + 20
    while len(found.runs()) < 2 or found.run("live").step < 30:
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_what_there_is_to_read(client):
    assert client.service().user == "ann"
    assert {run.id: str(run.state) for run in client.runs()}.items() >= {
        ("live", "running"),
        ("done", "succeeded"),
    }
    assert [run.id for run in client.runs(state=["succeeded"])] == ["done"]
    assert client.run("live").num_steps == 1000
    assert [worker.worker for worker in client.workers("live").workers] == [0]
    assert {family.family for family in client.families("live")} == {"mlp_family", "quadratic"}
    assert client.events("live", kind="loss", limit=2)[0].cause == "stale"
    assert [recipe.name for recipe in client.recipes()] == ["long"]
    assert "quadratic" in {family.family for family in client.task_families()}
    assert len(client.tasks("quadratic", count=2)) == 2


def test_curves_become_arrays(client):
    series = client.metrics("live", ["meta_loss"], first=1, last=10).series["meta_loss"]
    values = np.array(series.mean, float)
    assert values.shape == np.array(series.step).shape
    assert np.all(np.isfinite(values))


def test_changes(client):
    run = client.start(recipe="long", name="new", overrides={"seed": 4}, key="k")
    assert (run.id, run.launch.by) == ("new", "ann")
    assert client.start(recipe="long", name="new", overrides={"seed": 4}, key="k").id == "new"
    assert client.stop("new").id == "new"
    assert client.scale("live", 1).id == "live"
    with pytest.raises(ServiceError, match="stop it first") as error:
        client.resume("live")
    assert error.value.status == 409


def test_a_refusal_is_one_line_with_its_parts(client):
    with pytest.raises(ServiceError, match="did you mean 'seed'") as error:
        client.start(recipe="long", overrides={"sede": 1})
    assert error.value.status == 422
    assert error.value.errors[0].startswith("sede: ")
    with pytest.raises(ServiceError, match="there is no run") as error:
        client.run("none")
    assert error.value.status == 404
    with pytest.raises(ServiceError):
        client.run("../../healthz")
    with pytest.raises(ServiceError, match="name: "):
        client.start(recipe="long", name="../up")


def test_without_a_token(url, monkeypatch):
    monkeypatch.delenv("METAOPT_SERVICE_TOKEN", raising=False)
    with pytest.raises(ServiceError, match="set METAOPT_SERVICE_TOKEN"):
        Client(url).runs()
    monkeypatch.setenv("METAOPT_SERVICE_TOKEN", TOKEN)
    assert Client(url).runs()


def test_nobody_there():
    with pytest.raises(ServiceError, match=r"no service answers .* is `metaopt serve` running"):
        Client("http://127.0.0.1:1").service()
    with pytest.raises(ServiceError, match="is no URL"):
        Client("127.0.0.1:1")


def test_a_run_is_followed_and_nothing_is_lost_when_the_connection_breaks(client, root):
    cursor = client.metrics("live").cursor
    folder = Folder.__new__(Folder)
    folder.path, folder.metrics = root / "live", root / "live" / "metrics.jsonl"
    steps: list[int] = []
    for first, last in ((31, 35), (36, 40)):  # each with a connection of its own
        folder.write(first, last)
        for message in client.follow(["live"], cursor=cursor):
            cursor = message.cursor or cursor
            if message.event == "metrics":
                steps += message.data["series"]["meta_loss"]["step"]
                if message.data["last"] >= last:
                    break
    assert steps == list(range(31, 41))


class Breaking(BaseHTTPRequestHandler):
    """Sends one message for each connection, then breaks it off; is not there at the second."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Last-Event-ID"))
        there = len(self.asked) != 2
        self.send_response(200 if there else 503)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        message = b'event: run\nid: c%d\ndata: {"n": 1}\n\nevent: cut' % len(self.asked)
        self.wfile.write(b"%x\r\n%s\r\n" % (len(message), message) if there else b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        del arguments


def test_a_stream_goes_on_after_the_last_message(monkeypatch):
    monkeypatch.setattr("metaopt.client.client.LONGEST_PAUSE", 0.01)
    with ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        follow = Client(f"http://127.0.0.1:{server.server_port}").follow(["live"])
        cursors = [message.cursor for message in itertools.islice(follow, 3)]
        server.shutdown()
    assert cursors == ["c1", "c3", "c4"]
    assert Breaking.asked == [None, "c1", "c1", "c3"]


def test_messages_may_come_in_any_parts():
    text = ': ping\n\nevent: run\r\nid: é=1\ndata: {"a":\ndata: "b\u2028c"}\n\ndata: {}\n\ndata: 1'
    whole = text.encode()
    parts = [whole[i : i + 3] for i in range(0, len(whole), 3)]
    found = list(streams.messages(streams.lines(parts)))
    assert found == [("run", {"a": "b\u2028c"}, "é=1"), ("message", {}, "é=1")]


def test_an_export_is_unpacked_beside_nothing_else(client, tmp_path, monkeypatch):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("live/config.json", "{}")
        files.writestr("live/../../../evil", "x")

    def download(path: str, file: Path, **asked: object) -> None:
        file.write_bytes(archive.getvalue())

    monkeypatch.setattr(client, "_download", download)
    assert client.export("live", tmp_path / "in" / "out").joinpath("config.json").exists()
    assert {path.name for path in tmp_path.rglob("*")} >= {"in", "out", "config.json"}
    assert not (tmp_path / "evil").exists()
    with pytest.raises(ServiceError, match="exists; give a folder to make"):
        client.export("live", tmp_path)
    archive.truncate(10)
    with pytest.raises(ServiceError, match="is no export"):
        client.export("live", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_client_imports_no_jax():
    code = (
        "import metaopt.client, sys; sys.exit(bool({'jax', 'ray', 'fastapi'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_the_command_line(client, url, monkeypatch, capsys):
    monkeypatch.setenv("METAOPT_SERVICE_TOKEN", TOKEN)
    monkeypatch.setenv("METAOPT_SERVER", url)

    def said(*words: str) -> str:
        assert cli.main(["runs", *words]) == 0
        return capsys.readouterr().out

    assert "live" in said("list", "--server", url)
    assert json.loads(said("show", "live", "--json"))["id"] == "live"
    assert "mlp:dataset=digits" in said("show", "done")
    started = said("start", "--recipe", "long", "--name", "cli", "--set", "seed=3", "--json")
    assert json.loads(started)["launch"]["overrides"] == {"seed": 3}
    assert "cli" in said("stop", "cli")
    assert "goes on with 1" in said("scale", "live", "1", "--server", url)
    assert said("follow", "done") == "succeeded\n"
    assert cli.main(["runs", "resume", "live"]) == 2
    assert "stop it first" in capsys.readouterr().err
    assert cli.main(["runs", "start", "--recipe", "long", "--set", "seed"]) == 2
    assert "is not key=value" in capsys.readouterr().err
