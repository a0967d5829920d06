import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from run_folders import Folder

from workers.service import hub as hubs
from workers.service import ingest as ingests
from workers.service.files import LocalFiles
from workers.service.fleet import Fleet
from workers.service.hub import BUCKETS, Hub, Subscriber, parse_cursor
from workers.service.ingest import Ingest
from workers.service.liveness import LocalLiveness
from workers.service.problems import Refusal
from workers.service.store import Store

ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def fleet_of(root: Path) -> Iterator[Fleet]:
    """The runs below `root`, which are read all the while."""
    store = Store(LocalFiles(root))
    fleet = Fleet(store)
    ingest = Ingest(fleet, LocalLiveness(store.files), root.parent / "i.sqlite", str(root), False)
    ingest.start()
    try:
        yield fleet
    finally:
        ingest.stop()


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(ingests, "ROUND", 0.005)
    monkeypatch.setattr(ingests, "SCAN", 0.05)
    monkeypatch.setattr(ingests, "SUMMARY", 0.02)


def events_of(content: bytes) -> list[tuple[str, str, Any]]:
    """Kind, id and data of each."""
    found = []
    for block in content.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if "data" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


class Watcher:
    """A client that keeps count of the steps that it was told of."""

    def __init__(self) -> None:
        self.cursor, self.last, self.rewinds = "", {}, 0
        self.values: dict[str, dict[int, float]] = {}
        self.numbers: list[int] = []

    def see(self, kind: str, number: str, data: dict[str, Any]) -> None:
        run, self.cursor = data.get("run", ""), number
        if kind == "rewind":
            assert data["step"] < self.last[run]
            self.last[run], self.rewinds = data["step"], self.rewinds + 1
            kept = self.values[run].items()
            self.values[run] = {s: v for s, v in kept if s <= data["step"]}
        elif kind == "metrics":
            assert data["first"] == self.last[run] + 1, "a step was lost, or told twice"
            assert data["last"] >= data["first"]
            series = data["series"]["meta_loss"]
            assert series["step"][-1] == data["last"]
            assert len(series["step"]) <= BUCKETS
            assert series["step"] == sorted(set(series["step"]))
            self.values[run] |= dict(zip(series["step"], series["mean"], strict=True))
            self.last[run] = data["last"]
        elif kind == "event":
            self.numbers.append(int(data["id"]))


def until(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_whoever_comes_again_200_times_was_told_of_each_step_once(tmp_path):
    rng = random.Random(0)
    folders = {name: Folder(tmp_path / "runs", name, 4000).status() for name in ("a", "b")}
    for folder in folders.values():
        folder.write(1, 5)
    written = threading.Event()

    def write() -> None:
        for first in range(6, 1400, 6):
            folders["a"].write(first, first + 5)
            folders["b"].write(first, first + 5)
            time.sleep(0.002)
            if first == 606:
                folders["a"].go_on_from(400).write(401, 611, seconds=0.25)
        written.set()

    with fleet_of(tmp_path / "runs") as fleet:
        until(lambda: len(fleet.runs) == 2 and all(k.summary for k in fleet.runs.values()))
        hub, watcher, lives = Hub(fleet), Watcher(), 0
        for run in folders:
            history = fleet.known(run).history
            until(lambda h=history: h.step == 5)
            watcher.last[run], watcher.values[run] = history.step, {}
            watcher.cursor += f"&{run}={history.epoch}.5"
        watcher.cursor = watcher.cursor.lstrip("&")
        threading.Thread(target=write, daemon=True).start()
        while lives < 200 or not written.is_set() or min(watcher.last.values()) < 1403:
            subscriber = Subscriber(hub, list(folders), ["meta_loss"])
            subscriber.begin(watcher.cursor)
            missed = subscriber.missed_events()
            for _ in range(rng.randrange(1, 4)):
                hub.tick()
                told = events_of(subscriber.news(missed))
                missed = []
                heard = rng.randrange(len(told) + 1)  # then the line was cut
                for event in told[:heard]:
                    watcher.see(*event)
                time.sleep(rng.random() * 0.01)
                if heard < len(told):
                    break
            lives += 1
            assert lives < 3000
        expected = {e.id for run in folders for e in fleet.index.events(run, limit=10**6)}
    assert watcher.rewinds == 1
    assert watcher.last == {"a": 1403, "b": 1403}
    assert len(watcher.numbers) == len(set(watcher.numbers)), "an event was told twice"
    told_late = {e for e in expected if int(e) >= min(watcher.numbers)}
    assert told_late <= {str(n) for n in watcher.numbers}


def test_what_several_are_told_is_made_once(tmp_path, monkeypatch):
    made = []
    encode = hubs._metrics
    monkeypatch.setattr(hubs, "_metrics", lambda *a: made.append(a) or encode(*a))
    folder = Folder(tmp_path / "runs", "a").write(1, 5).status()
    with fleet_of(tmp_path / "runs") as fleet:
        until(lambda: "a" in fleet.runs and fleet.runs["a"].summary)
        hub = Hub(fleet)
        subscribers = [Subscriber(hub, ["a"], ["meta_loss"]) for _ in range(50)]
        for subscriber in subscribers:
            subscriber.begin("")
            subscriber.news()
        folder.write(6, 9)
        until(lambda: fleet.known("a").history.step == 9)
        made.clear()
        hub.tick()
        told = [events_of(subscriber.news()) for subscriber in subscribers]
    metrics = [[data for kind, _, data in events if kind == "metrics"] for events in told]
    assert all(m == [metrics[0][0]] for m in metrics)
    assert (metrics[0][0]["first"], metrics[0][0]["last"]) == (6, 9)
    assert len(made) <= 2  # of which one found that there is no more


def test_who_is_slow_is_told_less_and_of_all(tmp_path):
    folder = Folder(tmp_path / "runs", "a", 9000).write(1, 5).status()
    with fleet_of(tmp_path / "runs") as fleet:
        until(lambda: "a" in fleet.runs and fleet.runs["a"].summary)
        hub = Hub(fleet)
        subscriber = Subscriber(hub, ["a"], ["meta_loss", "none", "gradient_norm"])
        subscriber.begin("a=1.3")  # of another index: nothing is known of what it was told
        folder.write(6, 4000)
        until(lambda: fleet.known("a").history.step == 4000)
        hub.tick()
        told = events_of(subscriber.news())
    assert [kind for kind, _, _ in told if kind != "event"] == ["run", "rewind", "metrics"]
    (metrics,) = (data for kind, _, data in told if kind == "metrics")
    assert (metrics["first"], metrics["last"]) == (1, 4000)
    assert set(metrics["series"]) == {"meta_loss", "gradient_norm"}
    assert len(metrics["series"]["meta_loss"]["step"]) <= BUCKETS


def test_curves_and_stream_join_without_a_gap(tmp_path):
    folder = Folder(tmp_path / "runs", "a").write(1, 50).status()
    with fleet_of(tmp_path / "runs") as fleet:
        until(lambda: "a" in fleet.runs and fleet.runs["a"].summary)
        until(lambda: fleet.known("a").history.step == 50)
        cursor = json.loads(fleet.metrics("a", ["meta_loss"], None, None, 500))["cursor"]
        folder.write(51, 60)
        until(lambda: fleet.known("a").history.step == 60)
        subscriber = Subscriber(Hub(fleet), ["a"], ["meta_loss"])
        subscriber.begin(cursor)
        (metrics,) = (d for kind, _, d in events_of(subscriber.news()) if kind == "metrics")
    assert (metrics["first"], metrics["last"]) == (51, 60)


def test_all_runs_are_told_of_by_their_summaries(tmp_path):
    folder = Folder(tmp_path / "runs", "a").write(1, 5).status()
    Folder(tmp_path / "runs", "over").write(1, 5).status("succeeded")
    with fleet_of(tmp_path / "runs") as fleet:
        until(lambda: len(fleet.runs) == 2 and all(k.summary for k in fleet.runs.values()))
        subscriber = Subscriber(Hub(fleet), [], ["meta_loss"])
        subscriber.begin("")
        assert [data["id"] for _, _, data in events_of(subscriber.news())] == ["a"]
        folder.status("failed", reason="the disk is full")
        until(lambda: fleet.known("a").summary.state == "failed")
        (told,) = events_of(subscriber.news())
    assert (told[0], told[2]["state"], told[2]["reason"]) == ("run", "failed", "the disk is full")


@pytest.mark.parametrize("cursor", ["a", "a=1", "a=1.2.3", "a=-1.2", "a=1.2&b", "=1.2", "a=1.x"])
def test_what_is_no_cursor_is_refused(cursor):
    with pytest.raises(Refusal):
        parse_cursor(cursor)


@pytest.mark.slow
def test_a_service_streams_and_ends_when_it_is_told_to(tmp_path):
    folder = Folder(tmp_path / "runs", "a").write(1, 20).status()
    command = [sys.executable, "-m", "workers.cli", "serve", str(tmp_path / "runs"), "--port", "0"]
    command += ["--index", str(tmp_path / "index.sqlite")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            address = process.stdout.readline().split()[-1]
            until(lambda: httpx2.get(f"{address}/readyz").status_code == 200, 60)
            with httpx2.stream("GET", f"{address}/v1/stream?run=a", timeout=30) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                lines = stream.iter_lines()
                folder.write(21, 30)
                told = next(line for line in lines if line.startswith('data: {"run":"a","cursor"'))
                assert json.loads(told.removeprefix("data: "))["first"] == 21
                process.send_signal(signal.SIGTERM)
                rest = list(lines)  # ends
            assert ": the service ends" in rest
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
