"""Runs are started, stopped, resumed and scaled over HTTP, by a launcher that pretends."""

import datetime
import json
import threading
from pathlib import Path

import pytest

from metaopt.client.models import Launch
from workers.service.launches import Launches
from workers.service.store import LaunchFile

JSON = {"content-type": "application/json"}


def problem(answer, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["detail"]


def test_a_run_is_started_from_a_recipe(served):
    answer = served.start(name="one", overrides={"seed": 7, "workers.number": 3})
    assert answer.status_code == 201, answer.text
    run = answer.json()
    assert (run["id"], run["state"], run["launch"]["by"]) == ("one", "pending", "local")
    assert run["launch"]["overrides"] == {"seed": 7, "workers.number": 3}
    ((name, config),) = served.launcher.begun
    assert name == "one"
    assert "seed = 7\n" in config
    assert "number = 3\n" in config
    assert 'pool = "process"\n' in config  # a recipe's is "ray", and a cluster of its own
    (entry,) = served.audit()
    assert (entry["action"], entry["run"], entry["outcome"]) == ("start", "one", "accepted")


def test_a_run_without_a_name_is_called_after_its_recipe_and_the_time(served):
    first, second = (served.start().json()["id"] for _ in range(2))
    assert first.startswith("long-2")
    assert second.startswith("long-2")
    assert first != second


def test_what_is_asked_for_is_written_down_before_it_begins(served, monkeypatch):
    written: list[bool] = []
    begin = served.launcher.begin

    def looks_first(record, config):
        written.append(Launches(served.root).read("one") is not None)
        return begin(record, config)

    monkeypatch.setattr(served.launcher, "begin", looks_first)
    served.start(name="one")
    assert written == [True]


def test_the_same_key_gives_the_same_run(served):
    first, again = served.start("k1"), served.start("k1")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    assert len(served.launcher.begun) == 1
    assert "another request" in problem(served.start("k1", overrides={"seed": 2}), 422)
    assert served.start("k2").status_code == 201


def test_a_key_is_of_the_one_who_used_it(serve):
    tokens = {"a" * 20: "ann", "b" * 20: "bob"}
    served = serve(tokens=tokens)
    ids = set()
    for token in tokens:
        served.http.headers["authorization"] = f"Bearer {token}"
        ids.add(served.start("same").json()["id"])
    assert len(ids) == 2
    assert {entry["by"] for entry in served.audit()} == {"ann", "bob"}


@pytest.mark.parametrize("key", [None, "k"])
def test_many_same_requests_at_once_start_one_run(key, served):
    answers: list[int] = []
    ask = lambda: answers.append(served.start(key, name="one").status_code)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(served.launcher.begun) == 1
    assert sorted(answers) == ([200] * 7 + [201] if key else [201] + [409] * 7)


def test_a_name_that_is_taken(served):
    served.start(name="one")
    assert "already; give another name" in problem(served.start(name="one"), 409)
    (served.root / "folder").mkdir()
    problem(served.start(name="folder"), 409)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"recipe": "none"}, "there is no recipe 'none'; there are long"),
        ({"recipe": None, "clone_of": "none"}, "there is no run 'none'"),
        ({"recipe": None}, "give a recipe, or clone_of"),
        ({"clone_of": "x"}, "not both"),
        ({"overrides": {"estimator.num_taks": 3}}, "did you mean 'num_tasks'?"),
        ({"overrides": {"workers.address": "evil:1"}}, "cannot be set here"),
        ({"overrides": {"workers.number": 65}}, "at most 64"),
        ({"name": "../up"}, "name"),
        ({"entrypoint": "rm -rf /"}, "entrypoint"),
        ({"overrides": {"runtime_env.pip": "x"}}, "runtime_env"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_line(asked, said, served):
    answer = served.start(**asked)
    detail = problem(answer, 422)
    assert said in detail + " ".join(answer.json()["errors"])
    assert "\n" not in detail
    assert not served.launcher.begun
    assert not list(served.root.glob("[!.]*"))


def test_the_key_that_is_wrong_is_named(served):
    errors = served.start(overrides={"seed": 1, "estimator.num_taks": 3}).json()["errors"]
    assert [error.partition(":")[0] for error in errors] == ["estimator.num_taks"]


def test_a_run_is_cloned(served):
    served.says("old", "succeeded")
    asked = {"recipe": None, "clone_of": "old", "overrides": {"seed": 9}}
    run = served.start(name="new", **asked).json()
    assert run["launch"]["clone_of"] == "old"
    assert "seed = 9\n" in served.launcher.begun[0][1]


def test_without_a_cluster_nothing_is_started_and_the_key_may_be_used_again(served):
    served.launcher.unreachable = {"begin"}
    assert "no Ray dashboard answers" in problem(served.start("k", name="one"), 503)
    assert served.http.get("/v1/runs/one").status_code == 404
    served.launcher.unreachable = set()
    assert served.start("k", name="one").status_code == 201


def test_a_launch_that_may_have_been_heard_is_kept_and_begun_once(served):
    served.launcher.unreachable = {"begin", "is_there"}
    problem(served.start("k", name="one"), 503)
    served.launcher.unreachable = set()
    assert served.start("k", name="one").status_code == 200
    assert [run for run, _ in served.launcher.begun] == ["one"]
    assert served.start("k", name="one").status_code == 200
    assert len(served.launcher.begun) == 1


def test_a_launch_that_the_service_did_not_live_to_finish_is_told(served):
    served.start("k", name="one")
    served.launcher.alive.clear()
    run = served.control.shown("one")
    assert (run.state, run.reason) == ("failed", "log of one")


def test_stop(served):
    served.start(name="one")
    answer = served.http.post("/v1/runs/one/stop", headers=JSON)
    assert (answer.status_code, served.launcher.stopped) == (202, ["one"])
    assert answer.json()["reason"] == "stopped before it began to train"
    served.says("one", "stopped")
    assert "is stopped and has no process" in problem(
        served.http.post("/v1/runs/one/stop", headers=JSON), 409
    )
    problem(served.http.post("/v1/runs/none/stop", headers=JSON), 404)
    outcomes = [entry["outcome"] for entry in served.audit() if entry["action"] == "stop"]
    assert outcomes[-1] == "accepted"
    assert "has no process" in outcomes[0]


def test_resume(served):
    served.start(name="one")
    post = lambda body: served.http.post("/v1/runs/one/resume", json=body)
    assert "stop it first" in problem(post({}), 409)
    served.says("one", "stopped")
    assert "no checkpoint" in problem(post({}), 409)
    served.says("one", "stopped", step=20)
    assert "give a larger num_steps" in problem(post({"num_steps": 20}), 422)
    served.launcher.unreachable = {"go_on"}
    served.launcher.alive.clear()
    problem(post({}), 503)
    assert served.control.shown("one").state == "stopped"
    served.launcher.unreachable = set()
    served.says("one", "stopped", step=20)
    answer = post({"num_steps": 2_000_000})
    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert served.launcher.resumed == [("one", 2_000_000)]
    assert answer.json()["launch"]["recipe"] == "long"
    problem(post({}), 409)


def test_scale(served):
    served.says("one", "running")
    post = lambda workers: served.http.post("/v1/runs/one/scale", json={"workers": workers})
    assert post(1).status_code == 202
    assert (served.root / "one" / "workers_wanted").read_text() == "1\n"
    assert "from 1 to workers.number, 2" in problem(post(3), 422)
    problem(post(0), 422)
    served.says("one", "succeeded")
    assert "only one that trains" in problem(post(1), 409)


def test_read_only_refuses_all_changes(serve):
    served = serve(read_only=True)
    served.says("one", "running")
    for path in ("runs", "runs/one/stop", "runs/one/resume", "runs/one/scale"):
        assert "--read-only" in problem(served.http.post(f"/v1/{path}", json={}), 403)


def test_recipes(served):
    (recipe,) = served.http.get("/v1/recipes").json()["recipes"]
    assert (recipe["name"], recipe["title"]) == ("long", "Quadratics, for long.")
    assert served.http.get("/v1/recipes/long").json() == recipe
    problem(served.http.get("/v1/recipes/none"), 404)


def test_tasks(served):
    families = served.http.get("/v1/task-families").json()["families"]
    assert {"mlp_family", "fixed", "quadratic"} <= {found["family"] for found in families}
    page = served.http.get("/v1/task-families/quadratic/tasks?seed=3&count=2").json()
    assert [task["num_parameters"] > 0 for task in page["tasks"]] == [True, True]
    picture = served.http.get(page["tasks"][0]["thumbnail"])
    assert picture.headers["content-type"] == "image/svg+xml"
    assert picture.text.startswith("<svg ")
    problem(served.http.get("/v1/task-families/none/tasks"), 404)
    problem(served.http.get("/v1/tasks/thumbnail.svg?task=none"), 422)


def test_a_launch_is_there_with_its_configuration_or_not_at_all(tmp_path: Path, monkeypatch):
    launches = Launches(tmp_path)
    at = datetime.datetime.now(datetime.UTC)
    record = LaunchFile(run="one", launch=Launch(by="me", at=at))

    def dies(source: Path, target: Path) -> None:
        assert launches.config("one").read_text() == "seed = 1\n"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("os.link", dies)
        launches.add(record, "seed = 1\n")
    assert not launches.exists("one")
    assert launches.add(record, "seed = 2\n")
    assert not launches.add(record, "seed = 3\n")
    assert launches.read("one") == record
    assert launches.config("one").read_text() == "seed = 2\n"
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == [
        ".service",
        "one.json",
        "one.toml",
    ]


def test_launches_that_cannot_be_read_are_left_out(tmp_path: Path):
    folder = tmp_path / ".service" / "launches"
    folder.mkdir(parents=True)
    (folder / "half.json").write_text(json.dumps({"launch": None})[:-3])
    launches = Launches(tmp_path)
    assert launches.read("half") is None
    assert list(launches.all()) == []
