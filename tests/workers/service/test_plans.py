"""Plans and exports are made by commands that have to end."""

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
from tiny_run import TINY

from taskset.errors import InputError
from workers.service import archives, children
from workers.service.archives import Archives
from workers.service.children import Children
from workers.service.plans import Plans
from workers.service.problems import Refusal
from workers.service.resolved import Resolved

RUN = Resolved("train", f"{TINY}[learner]\nnum_steps = 3600\n[workers]\nnumber = 2\n")


@pytest.mark.slow
def test_a_plan_is_that_of_the_command_line_and_is_kept(monkeypatch):
    plans = Plans(price=2.0, currency="EUR")
    plan = plans.make(RUN)
    assert (plan.num_steps, plan.workers, plan.currency) == (3600, 2, "EUR")
    assert plan.core_hours == pytest.approx(plan.seconds * 2 / 3600)
    assert plan.cost == pytest.approx(2 * plan.core_hours)
    assert {"tasks", "optimizer", "work", "memory", "time"} <= plan.text.keys()
    assert plan.worker_bytes > 0
    monkeypatch.setattr(plans._children, "output", lambda arguments: pytest.fail("made again"))
    assert plans.make(RUN) == plan


@pytest.fixture
def command(monkeypatch):
    """Has a script of Python in the place of `metaopt`."""

    def put(script: str) -> None:
        monkeypatch.setattr(children, "COMMAND", (sys.executable, "-c", script))

    return put


def test_what_a_command_refuses_is_its_line(command):
    command("import sys; print('x\\nmetaopt: error: seed is -1', file=sys.stderr); sys.exit(2)")
    with pytest.raises(InputError, match=r"^seed is -1$"):
        Children(30).output([])


@pytest.mark.parametrize(
    ("script", "status", "said"),
    [
        ("import time; time.sleep(60)", 503, "more than 1 s"),
        ("raise MemoryError", 422, "cannot be computed: MemoryError"),
        ("import os; os.kill(os.getpid(), 9)", 422, "out of memory"),
        ("import sys; sys.exit(2)", 422, "cannot be computed"),
    ],
)
def test_a_command_that_fails_otherwise_is_a_refusal(script, status, said, command):
    command(script)
    with pytest.raises(Refusal, match=said) as error:
        Children(1 if "sleep" in script else 30).output([])
    assert error.value.status == status


def test_commands_get_no_token_and_half_of_the_memory(command, monkeypatch):
    monkeypatch.setenv("METAOPT_SERVICE_TOKEN", "secret")
    monkeypatch.setattr(children, "SHARE_OF_MEMORY", 0.01)
    command(
        "import os, resource, json, time; time.sleep(0.5)\n"
        "print(json.dumps([dict(os.environ), resource.getrlimit(resource.RLIMIT_DATA)[0]]))"
    )
    environment, limit = json.loads(Children(30).output([]))
    assert "METAOPT_SERVICE_TOKEN" not in environment
    assert environment["PATH"] == os.environ["PATH"]
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert limit == int(0.01 * whole)


def test_too_many_commands_are_refused():
    commands = Children(30)
    for _ in range(1 + children.MAX_WAITING):
        commands._places.acquire()
    with pytest.raises(Refusal) as error:
        commands.output([])
    assert error.value.status == 503


class Exporting(Children):
    """Writes an export, once it has failed as often as it is told to."""

    failures = 0

    def output(self, arguments) -> str:
        self.failures -= 1
        if self.failures >= 0:
            raise InputError("checkpoint step_000010 is gone")
        out = Path(arguments[arguments.index("--out") + 1])
        out.mkdir()
        (out / "config.json").write_text(" ".join(arguments[:2]))
        return ""


@pytest.mark.parametrize("failures", range(archives.TRIES + 1))
def test_an_export_is_an_archive_of_one_folder(failures, tmp_path: Path, monkeypatch):
    made = Archives("/runs")
    exporting = Exporting(1)
    exporting.failures = failures
    monkeypatch.setattr(made, "_children", exporting)
    if failures == archives.TRIES:
        with pytest.raises(InputError, match="is gone"):
            made.make("one", None, tmp_path)
        assert not list(tmp_path.iterdir())
        return
    with zipfile.ZipFile(made.make("one", 10, tmp_path)) as files:
        assert files.namelist() == ["one/config.json"]
        assert files.read("one/config.json") == b"export /runs/one"
    assert [path.name for path in tmp_path.iterdir()] == ["one.zip"]
