"""Requests made from the description of the service, for whatever its author did not think of."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from run_folders import Folder
from schemathesis import GenerationMode, checks

from workers.service import app
from workers.service.desk import Desk
from workers.service.problems import Refusal
from workers.service.settings import Settings

EXAMPLES = 8  # of each operation
ENDLESS = "/v1/stream"
DEAR = "/v1/runs/{run}/export"  # which starts a process
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


class NoDesk(Desk):
    """Has no recipes; a process that would read them takes seconds to start."""

    def ask(self, question: Any, *arguments: Any, **named: Any) -> Any:
        raise Refusal(422, "no desk")


class Thread(uvicorn.Server):
    """A server in a thread of this process."""

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        while not self.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}"
        self.should_exit = True
        thread.join(timeout=20)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp("described") / "runs"
    Folder(root, "0").write(1, 30).status("stopped").evaluation("0", "x")
    made = Settings(str(root), index=root.parent / "i", rate=0, change_rate=0)
    built = app.build(made, desk=NoDesk())
    with Thread(uvicorn.Config(app.guarded(built), port=0, log_config=None)).running() as address:
        built.state.backend.fleet.rounds.another("0")
        yield address


def test_the_description_is_of_every_request(address):
    found = httpx2.get(f"{address}/v1/openapi.json").json()
    assert found["paths"].keys() >= {"/v1/runs", "/v1/runs/{run}/metrics", ENDLESS, "/v1/plans"}
    assert all(path.startswith("/v1/") for path in found["paths"])
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            refusal = operation["responses"]["default"]["content"]
            assert refusal.keys() == {"application/problem+json"}, (method, path)
            assert operation["description"], path


@pytest.mark.slow
def test_no_request_is_an_error_of_the_service(address):
    description = httpx2.get(f"{address}/v1/openapi.json").json()
    del description["paths"][ENDLESS], description["paths"][DEAR]
    schema = schemathesis.openapi.from_dict(description)
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        _check(operation, address)
    assert len(operations) > 10


def _check(operation: Any, address: str) -> None:
    """Makes requests of one kind, also such as its description does not allow."""
    allowed = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    other = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=allowed | other)
    def asks(case: schemathesis.Case) -> None:
        answer = case.call(base_url=address, timeout=20)
        case.validate_response(answer, checks=CHECKS)

    asks()
