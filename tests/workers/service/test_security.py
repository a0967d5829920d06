"""The attacks that the service is to withstand, one by one."""

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from run_folders import Folder
from starlette.testclient import TestClient

from taskset.errors import InputError
from workers.service import app
from workers.service.desk import Desk
from workers.service.problems import Refusal
from workers.service.security import Guard, Rates
from workers.service.settings import Settings, read_tokens

TOKEN, OTHER = "a-token-of-alice-0123456789", "a-token-of-bob-0123456789"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
INDEXES = itertools.count()
SECRET = "what nobody may read"
JSON = {"content-type": "application/json"}


class NoDesk(Desk):
    """Has no recipes; a process that would read them takes seconds to start."""

    def ask(self, question: Any, *arguments: Any, **named: Any) -> Any:
        raise Refusal(503, "no desk")


def client(root: Path, **given: Any) -> TestClient:
    made = Settings(
        **({"root": str(root), "index": root.parent / f"{next(INDEXES)}.sqlite", "rate": 0} | given)
    )
    return TestClient(
        app.guarded(app.build(made)),
        base_url="http://localhost:8700",
        raise_server_exceptions=False,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, of which some are traps."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "config.toml").write_text(SECRET)
    (outside / "report.html").write_text(SECRET)
    root = outside / "runs"
    Folder(root, "one").write(1, 20).status("succeeded").evaluation("tiny", "<h1>a report</h1>")
    Folder(root, "trap").write(1, 3).evaluation("real", "x")
    (root / "linked").symlink_to(outside)
    for name in ("config.toml", "metrics.jsonl", "status.json", "workers.json"):
        (root / "trap" / name).unlink(missing_ok=True)
        (root / "trap" / name).symlink_to(outside / "config.toml")
    (root / "trap" / "evaluation" / "away").symlink_to(outside)
    (root / "trap" / "evaluation" / "real" / "report.html").unlink()
    (root / "trap" / "evaluation" / "real" / "report.html").symlink_to(outside / "report.html")
    os.mkfifo(root / "one" / "workers.json")
    for name in ("<script>alert(1)<", "a;drop table runs", "..x", ".hidden", "a b", "x" * 200):
        Folder(root, name)
    hostile = "tasks = ['<script>alert(1)</script>', \"'; drop table runs; --\"]\n[optimizer]\n"
    Folder(root, "hostile", config=hostile + 'kind = "<img src=x>"\n[learner]\nnum_steps = 5\n')
    Folder(root, "broken", config="[learner")
    return root


@pytest.fixture(scope="module")
def http(root: Path) -> Iterator[TestClient]:
    with client(root, tokens={TOKEN: "alice", OTHER: "bob"}, change_rate=0) as made:
        made.headers.update(AUTHORIZED)
        made.app._app._app.state.backend.fleet.rounds.another("one")
        yield made


def problem(answer, *statuses: int) -> str:
    """What a refusal says; every one is of the same form, and under the same headers."""
    assert answer.status_code in statuses, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == answer.status_code
    assert said["title"]
    is_safe(answer)
    assert SECRET not in answer.text
    return said["detail"]


def is_safe(answer) -> None:
    headers = answer.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] in ("no-store", "no-cache")
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy or policy.startswith("sandbox;")
    assert not any(name.startswith("access-control") for name in headers)


TRAVERSALS = [
    "..",
    "../outside",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%5c..%5cetc",
    "%252e%252e%252fetc",
    "..%c0%af..%c0%afetc",
    "%00",
    "one%00.html",
    "one%0a",
    "one/..%2f..",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "linked",
    ".service",
    ".hidden",
    "....//",
    "C:%5cwindows",
    "x" * 129,
    "'; drop table runs; --",
    '" or 1=1 --',
    "<script>alert(1)</script>",
    "{{7*7}}",
    "$(id)",
]
PLACES = [
    "/v1/runs/{}",
    "/v1/runs/{}/metrics",
    "/v1/runs/{}/events",
    "/v1/runs/{}/workers",
    "/v1/runs/{}/families",
    "/v1/runs/{}/export",
    "/v1/runs/{}/evaluations/tiny/report",
    "/v1/runs/one/evaluations/{}/report",
    "/v1/stream?run={}",
    "/static/{}",
    "/static/../../{}",
    "/{}",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_name_leads_out(http, place, name):
    answer = http.get(place.format(name))
    if answer.request.url.path == "/":  # the client itself resolved the dots
        return
    problem(answer, 400, 404, 405, 422)


@pytest.mark.parametrize("path", ["metrics", "events", "workers", "families", ""])
def test_links_in_a_run_folder_lead_nowhere(http, path):
    answer = http.get(f"/v1/runs/trap/{path}".rstrip("/"))
    assert answer.status_code == 404  # for its configuration is a link: it is no run
    assert SECRET not in answer.text


@pytest.mark.parametrize("suite", ["away", "real"])
def test_links_to_reports_lead_nowhere(root, suite):
    from workers.service.files import LocalFiles
    from workers.service.store import Store

    store = Store(LocalFiles(root))
    assert store.report("trap", suite) is None
    assert store.evaluations("trap") == []
    assert store.report("one", "tiny") == b"<h1>a report</h1>"


def test_a_pipe_is_not_waited_for(http):
    assert http.get("/v1/runs/one/workers").json() == {"at": None, "workers": []}


def test_folders_with_other_names_are_no_runs(http):
    page = http.get("/v1/runs").json()
    assert {run["id"] for run in page["runs"]} == {"one", "hostile", "broken"}
    assert page["total"] == 3


def test_markup_in_a_configuration_stays_text(http):
    answer = http.get("/v1/runs/hostile")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["tasks"][0] == "<script>alert(1)</script>"
    is_safe(answer)
    assert http.get("/v1/runs/broken").json()["kind"] == "unreadable"


@pytest.mark.parametrize(
    "text", ["' or 1=1 --", "%' union select * from events --", "\\", "%", "_"]
)
def test_a_search_is_a_text_and_nothing_else(http, text):
    found = http.get("/v1/runs", params={"text": text}).json()["runs"]
    assert {run["id"] for run in found} <= {"one" if text == "_" else "hostile"}


@pytest.mark.parametrize(
    "query",
    [
        "runs?state=dead",
        "runs?limit=0",
        "runs?limit=99999999999999999999",
        "runs?cursor=' or 1=1",
        "runs/one/metrics?points=9",
        "runs/one/metrics?first=-1",
        "runs/one/metrics?first=1e9",
        "runs/one/metrics?last=99999999999999999999999",
        "runs/one/metrics?" + "&".join(["name=a"] * 31),
        "runs/one/metrics?name=" + "x" * 301,
        "runs/one/events?kind=other",
        "runs/one/events?cursor=1;drop table events",
        "runs/one/events?after=-1",
        "stream?" + "&".join(["run=one"] * 51),
        "stream?run=one&cursor=one",
        "stream?run=one&cursor=one=1.2.3",
        "stream?run=one&cursor=one=1.-2",
        "stream?run=one&cursor=" + "x" * 7000,
        "audit?limit=x",
    ],
)
def test_bad_values_are_refused(http, query):
    problem(http.get(f"/v1/{query}"), 422)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_refused(http, method):
    problem(http.request(method, "/v1/runs/one", headers=JSON), 405)
    problem(http.request(method, "/v1/none", headers=JSON), 404, 405)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": TOKEN},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer \u00e4".encode()},
        {"cookie": f"token={TOKEN}"},
        {"x-token": TOKEN},
    ],
)
def test_without_its_token_nothing_is_told(root, headers):
    http = client(root, tokens={TOKEN: "alice"})
    for path in (
        "/v1/runs",
        "/v1/runs/none",
        "/v1/stream",
        "/metrics",
        "/v1/audit",
        "/v1/openapi.json",
    ):
        answer = http.get(f"{path}?token={TOKEN}", headers=headers)
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    said = http.get("/v1/service", headers=headers).json()
    assert (said["needs_token"], said["user"], said["root"]) == (True, None, "")


def test_a_token_says_who_asks(http):
    assert http.get("/v1/service").json()["user"] == "alice"
    bob = {"authorization": f"bearer {OTHER}"}
    assert http.get("/v1/service", headers=bob).json()["user"] == "bob"


def test_tokens_are_guessed_slowly(root):
    http = client(root, tokens={TOKEN: "alice"})
    answers = [http.get("/v1/runs", headers={"authorization": f"Bearer {i}"}) for i in range(20)]
    assert [a.status_code for a in answers] == [401] * 10 + [429] * 10
    assert int(answers[-1].headers["retry-after"]) >= 1
    problem(answers[-1], 429)
    assert http.get("/v1/service", headers=AUTHORIZED).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "evil.example:8700",
        "127.0.0.2",
        "[::2]",
        "0",
        "local host",
    ],
)
def test_other_host_names_are_refused(http, host):
    problem(http.get("/v1/service", headers={"host": host}), 421)
    problem(http.get("/", headers={"host": host}), 421)


@pytest.mark.parametrize("host", ["", "localhost:x", "user@localhost", "localhost/.."])
def test_malformed_host_names_are_refused(http, host):
    problem(http.get("/v1/service", headers={"host": host}), 400)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8700", "[::1]:8700"])
def test_its_own_names_are_not(http, host):
    assert http.get("/v1/service", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:8701", "http://localhost", "file://", "x"],
)
def test_pages_of_other_origins_are_refused(http, origin):
    for method in ("GET", "POST"):
        headers = JSON | {"origin": origin}
        problem(http.request(method, "/v1/runs", headers=headers), 403)


def test_its_own_page_is_not(http):
    own = {"origin": "http://localhost:8700"}
    assert http.get("/v1/runs", headers=own).status_code == 200


def test_no_origin_is_allowed_to_ask_before(http):
    headers = {"origin": "http://localhost:8700", "access-control-request-method": "POST"}
    problem(http.options("/v1/runs", headers=headers), 405)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "text/json"]
)
@pytest.mark.parametrize("path", ["runs", "plans", "runs/one/stop", "runs/one/resume"])
def test_a_form_of_another_page_changes_nothing(http, path, kind):
    headers = {"content-type": kind} if kind else {}
    problem(http.post(f"/v1/{path}", content=b"{}", headers=headers), 415)


BODIES = [
    (b"", 400, 422),
    (b"{", 400),
    (b"\xff\xfe", 400, 422),
    (b"[" * 10_000, 400, 422),
    (b"null", 422),
    (b"[]", 422),
    (b'"x"', 422),
    (b'{"recipe": 3}', 422),
    (b'{"recipe": "../../etc/passwd"}', 422),
    (b'{"clone_of": "../outside"}', 422),
    (b'{"name": "../outside", "recipe": "digits"}', 422),
    (b'{"recipe": "digits", "name": "x\\n"}', 422),
    (b'{"recipe": "digits", "other": 1}', 422),
    (b'{"recipe": "digits", "overrides": {"seed": NaN}}', 400, 422),
    (b'{"recipe": "digits", "overrides": {"seed": {"a": 1}}}', 422),
    (b'{"recipe": "digits", "overrides": [1]}', 422),
]


@pytest.mark.parametrize("body,statuses", [(b, s) for b, *s in BODIES], ids=range(len(BODIES)))
@pytest.mark.parametrize("path", ["runs", "plans"])
def test_malformed_bodies_are_refused(http, path, body, statuses):
    problem(http.post(f"/v1/{path}", content=body, headers=JSON), *statuses)


@pytest.mark.parametrize("body", [b'{"num_steps": 0}', b'{"num_steps": "x"}', b'{"x": 1}', b"[1]"])
def test_malformed_changes_of_a_run_are_refused(http, body):
    problem(http.post("/v1/runs/one/resume", content=body, headers=JSON), 422)


def test_a_body_that_is_too_long_is_not_read(http):
    problem(http.post("/v1/runs", content=b" " * 70_000, headers=JSON), 413)
    chunks = (b" " * 1000 for _ in range(100))  # no length is announced
    problem(http.post("/v1/runs", content=chunks, headers=JSON), 413)


@pytest.mark.parametrize("length", ["-1", "x", "\u0663".encode()])
def test_a_length_that_is_no_number(http, length):
    problem(http.post("/v1/runs", headers=JSON | {"content-length": length}), 400)


def test_long_addresses_and_headers_are_refused(http):
    problem(http.get("/v1/runs?text=" + "x" * 9000), 414)
    problem(http.get("/v1/runs", headers={"x-long": "x" * 17_000}), 431)


def test_a_read_only_service_changes_nothing(root):
    with client(root, read_only=True) as http:
        for path in ("runs", "plans", "runs/one/stop", "runs/one/resume", "runs/one/scale"):
            assert "--read-only" in problem(
                http.post(f"/v1/{path}", content=b"{}", headers=JSON), 403
            )
        assert http.get("/v1/runs/one").json()["actions"] == ["export"]


def test_an_error_tells_nothing_of_the_inside(http, monkeypatch, caplog):
    from workers.service.fleet import Fleet

    def fails(*_):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Fleet, "page", fails)
    problem(http.get("/v1/runs"), 500)
    assert TOKEN not in caplog.text


def test_a_report_may_do_nothing(http):
    answer = http.get("/v1/runs/one/evaluations/tiny/report")
    assert answer.headers["content-security-policy"] == (
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    )
    assert answer.headers["content-type"].startswith("text/html")
    is_safe(answer)


def test_the_page_runs_no_script_but_its_own(http):
    answer = http.get("/")
    is_safe(answer)
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_others_are_let_in_only_with_a_token(tmp_path):
    for host in ("0.0.0.0", "::", "192.0.2.1", "runs.example"):
        with pytest.raises(InputError, match="--token-file"):
            Settings(root=str(tmp_path), host=host)
        Settings(root=str(tmp_path), host=host, tokens={TOKEN: "alice"})
    for host in ("127.0.0.1", "::1", "localhost", "127.1.2.3"):
        Settings(root=str(tmp_path), host=host)


def test_tokens_are_read_from_a_file_and_the_environment(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# ours\nalice {TOKEN}\n\n{OTHER}\n")
    environment = {"METAOPT_SERVICE_TOKEN": "one-of-the-environment"}
    assert read_tokens(file, environment) == {
        TOKEN: "alice",
        OTHER: "token",
        "one-of-the-environment": "token",
    }
    assert read_tokens(None, {}) == {}


@pytest.mark.parametrize(
    "text", ["short", "a b c0123456789012345", "", "n\u00e4me-0123456789-\u00e4\u00f6\u00fc"]
)
def test_bad_token_files_are_refused(tmp_path, text):
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(InputError) as refusal:
        read_tokens(file, {})
    assert "0123456789" not in str(refusal.value)


def test_settings_do_not_show_their_tokens(tmp_path):
    assert TOKEN not in repr(Settings(root=str(tmp_path), tokens={TOKEN: "alice"}))


def test_a_rate_is_kept():
    rates = Rates(5.0)
    assert [bool(rates.wait("a", 0.0)) for _ in range(12)] == [False] * 10 + [True] * 2
    assert rates.wait("b", 0.0) == 0.0
    assert rates.wait("a", 0.0) == pytest.approx(0.2)
    assert rates.wait("a", 0.21) == 0.0
    assert not any(Rates(0.0).wait("a", 0.0) for _ in range(1000))
    for number in range(20_000):
        rates.wait(str(number), 1.0)
    assert len(rates._left) <= 10_000


def test_too_many_requests_are_refused(root):
    http = client(root, rate=4.0)
    answers = [http.get("/healthz") for _ in range(15)]
    assert [a.status_code for a in answers][:10] == [200] * 10
    assert "Retry-After" in problem(answers[-1], 429)


def test_a_guard_lets_no_socket_through():
    import asyncio

    sent = []

    async def send(message):
        sent.append(message)

    guard = Guard(None, Settings(root="."))  # pyright: ignore
    asyncio.run(guard({"type": "websocket"}, None, send))  # pyright: ignore
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_who_asked_for_what_is_written_down(root):
    with client(root, tokens={TOKEN: "alice"}) as http:
        http.headers.update(AUTHORIZED)
        problem(http.post("/v1/runs/one/stop", headers=JSON), 409)
        entry = http.get("/v1/audit").json()["entries"][0]
    assert (entry["by"], entry["action"], entry["run"]) == ("alice", "stop", "one")
    assert entry["address"] == "testclient"
    text = (root / ".service" / "audit.jsonl").read_text()
    assert TOKEN not in text
    assert json.loads(text.splitlines()[-1])["outcome"] == entry["outcome"]
