"""A person, a browser, the real service, and runs that really train."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax
import pytest
from browsers import SECONDS, needs_browser
from playwright.sync_api import Browser, Page, expect
from tiny_run import TINY

import metaopt
from metaopt.client import Client

pytestmark = pytest.mark.slow
RECIPE = f"""# Quadratics with two workers, for as long as you like.
{TINY}
[learner]
num_steps = 1000000
[workers]
number = 2
pool = "process"
[checkpoint]
every = 20
"""


class Served:
    """`metaopt serve` in a process of its own, on the same port whenever it is started."""

    def __init__(self, folder: Path):
        self.folder, self.runs = folder, folder / "runs"
        self.runs.mkdir()
        (folder / "recipes").mkdir()
        (folder / "recipes" / "tiny.toml").write_text(RECIPE)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "workers.cli", "serve", str(self.runs)]
        command += ["--port", str(self._port), "--index", str(self.folder / "index.sqlite")]
        command += ["--recipes", str(self.folder / "recipes")]
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self._process.stdout
        self.url = re.findall(r"http://\S+", self._process.stdout.readline())[0]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(30)

    def close(self) -> None:
        for status in self.runs.glob("*/status.json"):
            said = json.loads(status.read_text())
            if said["state"] == "running":
                os.kill(said["pid"], signal.SIGKILL)
        self._process.terminate()
        self._process.wait(30)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path)
    yield one
    one.close()


@pytest.fixture
def url(served: Served) -> str:
    return served.url


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The page of the service; nothing may be complained of in its console."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(SECONDS * 1000)
    said: list[str] = []
    page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    yield page
    assert not said
    context.close()


def asked(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}/v1/{path}", timeout=30) as answer:
        return json.load(answer)


def start(page: Page, name: str) -> None:
    """Plans what the form says, and starts it."""
    page.get_by_label("Name of the run").fill(name)
    page.get_by_role("button", name="Plan", exact=True).click()
    expect(page.get_by_role("region", name="Plan")).to_contain_text("memory", ignore_case=True)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def steps(page: Page) -> int:
    shown = page.locator("dt", has_text="Outer steps").locator("xpath=following-sibling::dd")
    return int(shown.inner_text().split(" of ")[0].replace(",", ""))


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.1)


@needs_browser
def test_a_run_is_started_watched_hurt_stopped_resumed_compared_and_taken_away(
    page: Page, url: str, tmp_path: Path
):
    state = page.locator(".state-line")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Start a run").click()
    start(page, "first")
    expect(state).to_contain_text("running")
    until(lambda: steps(page) > 0)
    chart = page.get_by_role("application", name=re.compile(r"^Meta-loss\."))
    before, drawn = steps(page), chart.inner_html()
    until(lambda: steps(page) > before and chart.inner_html() != drawn)

    sections = page.get_by_role("navigation", name="Sections of the run")
    sections.get_by_role("link", name="Workers").click()
    rows = page.get_by_role("table", name="Workers").get_by_role("row")
    expect(rows).to_have_count(3)
    killed = asked(url, "runs/first/workers")["workers"][0]["pid"]
    os.kill(killed, signal.SIGKILL)
    expect(rows.nth(1)).to_contain_text("1 lost")
    until(lambda: asked(url, "runs/first/workers")["workers"][0]["pid"] not in (killed, None))
    sections.get_by_role("link", name="Events").click()
    expect(page.get_by_role("region", name="Events")).to_contain_text("lost an estimate")

    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Stop the run").click()
    expect(state).to_contain_text("stopped")
    stopped = steps(page)
    assert (tmp_path / "runs" / "first" / "checkpoints" / f"step_{stopped:06d}").is_dir()

    page.get_by_role("button", name="Resume", exact=True).click()
    page.get_by_label(re.compile("Outer steps in all")).fill(str(stopped + 30))
    page.get_by_role("button", name="Resume the run").click()
    expect(state).to_contain_text("succeeded")
    assert steps(page) == stopped + 30

    page.get_by_role("link", name="Clone", exact=True).click()
    expect(page.get_by_role("heading", name="Clone first")).to_be_visible()
    start(page, "second")
    expect(state).to_contain_text("succeeded")

    page.goto(f"{url}/#/compare?run=first&run=second")
    newest = page.get_by_role("region", name="Newest values")
    for name in ("first", "second"):
        expect(newest).to_contain_text(name)
    expect(page.get_by_role("application")).to_be_visible()

    page.goto(f"{url}/#/audit")
    changes = page.get_by_role("table", name="Changes").get_by_role("row")
    for nth, change in enumerate(("start second", "resume first", "stop first", "start first")):
        for word in (*change.split(), "accepted"):
            expect(changes.nth(nth + 1)).to_contain_text(word)

    page.goto(f"{url}/#/runs/first")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download export").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path / "export")
    (path,) = [found.parent for found in (tmp_path / "export").rglob("config.json")]
    optimizer = metaopt.load(path)
    params = {"weights": jnp.ones(3)}
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert jnp.isfinite(optax.apply_updates(params, updates)["weights"]).all()


def test_a_service_that_is_killed_and_loses_its_index_has_lost_nothing(served: Served):
    client = Client(served.url)
    client.start(recipe="tiny", name="first")
    until(lambda: client.run("first").step > 20)
    before = client.run("first")
    served.kill()
    for file in served.folder.glob("index.sqlite*"):
        file.unlink()
    served.start()
    until(lambda: client.run("first").step > before.step)
    after = client.run("first")
    assert (after.state, after.launch) == ("running", before.launch)
    metrics = client.metrics("first", points=2000)
    told = metrics.series["meta_loss"].step
    assert told == sorted(set(told)) and told[-1] == metrics.step > before.step
    client.stop("first")
    until(lambda: client.run("first").state == "stopped")
    assert client.run("first").checkpoints[-1].step == client.run("first").step
