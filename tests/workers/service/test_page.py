"""The page in a real browser, on a service over run folders that are made up."""

import contextlib
import re
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import axe_playwright_python
import pytest
import uvicorn
from browsers import SECONDS, needs_browser
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pretended_launcher import DeskHere, FakeLauncher
from run_folders import CONFIG, Folder
from tiny_run import TINY

from workers.service import app
from workers.service.settings import Settings

pytestmark = needs_browser
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js")
HOSTILE = "<img src=x onerror=alert(1)>"
REPORT = f"""<!doctype html><title>report</title><style>h1 {{ color: rgb(0, 128, 0) }}</style>
<h1>What was learned</h1>{HOSTILE}<script>parent.document.title = "mine"</script>"""
DIGITS = "digits-1"
VIEWS = [
    "#/runs",
    *(
        f"#/runs/{DIGITS}/{section}"
        for section in ("curves", "tasks", "workers", "events", "checkpoints", "configuration")
    ),
    f"#/compare?run={DIGITS}&run=second",
    "#/start",
    "#/audit",
    "#/nowhere",
]


class Service:
    """A service in a thread, on a port that it has again when it is started again."""

    def __init__(self, settings: Settings, port: int = 0):
        self._settings = settings
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        config = uvicorn.Config(
            app.guarded(app.build(settings, FakeLauncher(), DeskHere())),
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        run = {"target": self._server.run, "kwargs": {"sockets": [self._socket]}}
        self._thread = threading.Thread(**run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def again(self) -> "Service":
        return Service(self._settings, self.port)


@contextlib.contextmanager
def service(root: Path, **more) -> Iterator[Service]:
    index = Path(tempfile.mkdtemp(dir=root)) / "index.sqlite"
    settings = Settings(root=str(root / "runs"), index=index, recipes=root / "recipes", **more)
    served = Service(settings)
    try:
        yield served
    finally:
        served.stop()


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with runs in many states, some of them hostile."""
    root = tmp_path_factory.mktemp("page")
    (root / "recipes").mkdir()
    (root / "recipes" / "tiny.toml").write_text(f"# Quadratics, for a moment.\n{TINY}")
    runs = root / "runs"
    runs.mkdir()
    digits = Folder(runs, DIGITS).write(1, 300).status("running").checkpoint(100).checkpoint(200)
    digits.evaluation("small", REPORT)
    worker = {"task": HOSTILE, "state": "running", "pid": 7, "results": 3, "failures": 0}
    digits.workers(*({"worker": i, **worker} for i in range(2)))
    Folder(runs, "second").write(1, 200).status("succeeded")
    Folder(runs, "third", config=CONFIG.replace("mlp:", f"{HOSTILE}:")).write(1, 10).status(
        "failed", reason=HOSTILE
    )
    for i in range(4):
        Folder(runs, f"done-{i}").write(1, 20).status("stopped")
    return root


@pytest.fixture(scope="module")
def served(root) -> Iterator[Service]:
    with service(root) as served:
        yield served


@contextlib.contextmanager
def new_page(browser: Browser, allowed: tuple[str, ...] = (), **settings) -> Iterator[Page]:
    """A page, on which nothing may go wrong but what is `allowed`."""
    settings = {"reduced_motion": "reduce", "viewport": {"width": 1200, "height": 900}} | settings
    context: BrowserContext = browser.new_context(**settings)
    context.set_default_timeout(SECONDS * 1000)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    page.on("console", lambda m: wrong.append(m.text) if m.type in ("error", "warning") else None)
    try:
        yield page
        wrong = [text for text in wrong if not any(part in text for part in allowed)]
        assert not wrong
    finally:
        context.close()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    with new_page(browser) as page:
        yield page


def rows(page: Page):
    return page.get_by_role("table", name="Runs").locator("tbody").get_by_role("row")


def test_runs_are_listed_and_filtered(served, page):
    page.goto(served.url)
    expect(rows(page)).to_have_count(7)
    row = rows(page).filter(has=page.get_by_role("link", name=DIGITS, exact=True))
    expect(row).to_contain_text(re.compile("running|stalled"))
    expect(row).to_contain_text("300 of 1,000")
    expect(row.get_by_role("img", name=f"Meta-loss of {DIGITS} over the run")).to_be_visible()
    page.get_by_label("stopped", exact=True).check()
    expect(rows(page)).to_have_count(4)
    page.get_by_label("Filter by text").fill("done-2")
    expect(rows(page)).to_have_count(1)
    page.reload()  # the filter is in the address
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Filter by text").fill("nothing is called so")
    expect(page.get_by_text("No run is like that.")).to_be_visible()


def test_hostile_names_are_text(served, page):
    page.goto(f"{served.url}#/runs/third")
    expect(page.locator(".reason")).to_have_text(HOSTILE)
    page.goto(f"{served.url}#/runs/third/configuration")
    expect(page.get_by_role("region", name="Configuration, text")).to_contain_text(HOSTILE)
    page.goto(f"{served.url}#/runs/{DIGITS}/workers")
    expect(page.get_by_role("table", name="Workers")).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0


def test_a_run_is_reached_by_keys_alone(served, page):
    page.goto(served.url)
    expect(rows(page)).to_have_count(7)
    focused = lambda: page.evaluate("document.activeElement.textContent")
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused() == "done-0":
            break
    page.keyboard.press("ArrowDown")
    below = focused()
    assert below not in ("done-0", "")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.get_by_role("heading", level=1)).to_have_text(below)
    plot = page.get_by_role("application").first
    plot.focus()
    page.keyboard.press("Home")
    expect(page.get_by_role("status").filter(has_text="outer step 1:")).to_be_attached()
    page.keyboard.press("+")
    expect(page.get_by_role("button", name="Show all steps")).to_be_visible()
    assert "first=" in page.url
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Show all steps")).to_be_hidden()


def test_a_curve_grows_and_goes_on_after_the_service_was_away(root, browser):
    folder = Folder(root / "runs", "growing").write(1, 50).status("running")
    with (
        service(root) as first,
        new_page(browser, allowed=("ERR_CONNECTION", "ERR_INCOMPLETE", "status of 404")) as page,
    ):
        page.goto(f"{first.url}#/runs/growing")
        facts, table = page.locator(".facts"), page.get_by_role("table", name="Meta-loss, ")
        page.get_by_role("button", name="Show as table: Meta-loss", exact=True).click()
        expect(table.get_by_role("rowheader").last).to_have_text("50")
        folder.write(51, 80)
        expect(table.get_by_role("rowheader").last).to_have_text("80")
        expect(facts).to_contain_text("80 of 1,000")
        first.stop()
        expect(page.get_by_text("reconnecting")).to_be_visible()
        folder.write(81, 120)
        second = first.again()
        try:
            expect(table.get_by_role("rowheader").last).to_have_text("120")
            expect(page.get_by_role("alert").filter(has_text="does not answer")).to_have_count(0)
            folder.go_on_from(60).write(61, 70)  # the run went on from an earlier checkpoint
            expect(table.get_by_role("rowheader").last).to_have_text("70")
        finally:
            second.stop()
            shutil.rmtree(folder.path)


def test_runs_are_compared_and_the_link_says_how(served, page):
    page.goto(served.url)
    for name in (DIGITS, "second"):
        page.get_by_label(f"Compare {name}", exact=True).check()
    page.get_by_role("button", name="Compare 2 runs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare runs")
    page.get_by_label("Metric").select_option("gradient_norm")
    page.get_by_label("Axis").select_option("Time")
    page.get_by_label("Smoothing").fill("0.5")
    page.get_by_label("Add a run").fill("done-1")
    page.get_by_role("button", name="Add", exact=True).click()
    legend = page.locator(".legend li")
    expect(legend).to_have_count(3)
    link = page.url
    page.goto("about:blank")
    page.goto(link)
    expect(legend).to_have_count(3)
    expect(page.get_by_label("Metric")).to_have_value("gradient_norm")
    expect(page.get_by_label("Smoothing")).to_have_value("0.5")
    expect(page.locator(".chart")).to_contain_text("time of training")


def test_what_is_refused_is_said_where_it_was_asked_for(served, browser):
    with new_page(browser, allowed=("status of 409",)) as page:
        page.goto(f"{served.url}#/runs/{DIGITS}")
        stop = page.get_by_role("button", name="Stop", exact=True)
        stop.click()
        dialog = page.get_by_role("dialog", name=f"Stop {DIGITS}?")
        dialog.get_by_role("button", name="Stop the run").click()
        expect(dialog.get_by_role("alert")).to_contain_text("started elsewhere")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(stop).to_be_focused()


def test_a_report_is_shown_and_cannot_do_anything(served, browser):
    with new_page(browser, allowed=("Content Security Policy",)) as page:
        page.goto(f"{served.url}#/runs/{DIGITS}/evaluation")
        heading = page.frame_locator("iframe").get_by_role("heading", name="What was learned")
        expect(heading).to_have_css("color", "rgb(0, 128, 0)")
        expect(page).to_have_title(f"{DIGITS} · metaopt")
        frame = page.frames[1]
        assert frame.title() == "report"
        assert frame.evaluate("origin") == "null"


def test_the_form_says_what_is_wrong_beside_the_field(served, browser):
    with new_page(browser, allowed=("status of 422",)) as page:
        page.goto(f"{served.url}#/start")
        page.get_by_label("num_tasks", exact=True).first.fill("-1")
        expect(page.get_by_text("1 changed").first).to_be_visible()
        page.get_by_role("button", name="Plan", exact=True).click()
        field = page.locator("[id='field-estimator.num_tasks']")
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_be_focused()
        page.locator("[id='field-optimizer.kind']").select_option("PerParameterMLP")
        expect(page.locator("[id='field-optimizer.hidden_size']")).to_be_visible()


def test_who_has_no_token_signs_in(root, browser):
    token = "a-token-of-thirty-two-characters"
    with (
        service(root, tokens={token: "ada"}, read_only=True) as served,
        new_page(browser, allowed=("status of 401",)) as page,
    ):
        page.goto(f"{served.url}#/runs/{DIGITS}")
        page.get_by_label("Token").fill("not-it")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("does not know this token")).to_be_visible()
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(DIGITS)
        expect(page.get_by_role("banner")).to_contain_text("ada")
        expect(page.get_by_role("banner")).to_contain_text("read-only")
        assert token not in page.url
        assert page.get_by_role("button", name="Stop").count() == 0
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_no_view_is_inaccessible_or_too_wide(served, browser, look):
    size = {"width": 390 if look == "phone" else 1200, "height": 800}
    scheme = "dark" if look == "dark" else "light"
    rules = "runOnly: ['color-contrast']" if look == "dark" else ""  # all else is as in light
    with new_page(browser, viewport=size, color_scheme=scheme) as page:
        for view in VIEWS:
            page.goto(f"{served.url}{view}")
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            page.wait_for_load_state("load")
            page.wait_for_timeout(300)  # for what is drawn at the next frame
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, view
            page.evaluate(AXE.read_text())
            found = page.evaluate(f"axe.run(document, {{iframes: false, {rules}}})")["violations"]
            bad = [v["id"] for v in found if v["impact"] in ("serious", "critical")]
            assert not bad, (view, bad)
