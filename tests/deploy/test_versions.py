"""One version of metaopt, of Ray and of every port, wherever deployment files name it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILES = [p for p in DEPLOY.rglob("*") if p.is_file()]
TEXT = {path: path.read_text() for path in FILES}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = dict(re.findall(r"^([\w.-]+)==([^ \n]+)", (ROOT / "requirements.lock").read_text(), re.M))
CUDA = dict(re.findall(r"^([\w.-]+)==([^ \n]+)", TEXT[DEPLOY / "docker" / "cuda.lock"], re.M))


def found(pattern: str) -> set[str]:
    """What the group of `pattern` is, anywhere under `deploy`."""
    return {match for text in TEXT.values() for match in re.findall(pattern, text)}


def test_the_tag_of_every_image_is_the_version_of_the_project():
    tags = found(r"\bmetaopt:(\d[\w.-]*)") | found(r"\btag: ([\w.-]+)")
    kinds = {f"{PROJECT['version']}{kind}" for kind in ("", "-cuda", "-tpu")}
    assert tags == kinds
    assert not found(r"metaopt(:latest)")


def test_ray_is_the_one_of_the_lock():
    assert found(r'rayVersion: "(.+?)"') == {LOCK["ray"]}
    assert found(r"Ray (2\.\d+)") == {LOCK["ray"].rpartition(".")[0]}


def test_kuberay_is_one():
    assert found(r"KubeRay v?(1\.\d+)") == {"1.7"}
    assert found(r"--version (\S+)") == {"1.7.0"}
    assert "KubeRay v1.7.0" in (ROOT / "tests" / "deploy" / "schemas" / "NOTICE").read_text()


def test_the_image_has_a_python_that_the_project_takes():
    (python,) = found(r"\bpython:(\d+\.\d+)\.\d+-slim")
    assert f">={python}" == PROJECT["requires-python"]


def test_the_lock_of_cuda_goes_with_the_lock_of_all():
    assert not CUDA.keys() & LOCK.keys()
    assert CUDA["jax-cuda13-plugin"] == CUDA["jax-cuda13-pjrt"] == LOCK["jax"]


def test_the_image_gets_what_it_copies():
    """`.dockerignore` names what is let in; a folder that is missing there would fail to build."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    dockerfile = TEXT[DEPLOY / "docker" / "Dockerfile"]
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M)
    sources = {source for copied in copies for source in copied.split()}
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(source == name or source.startswith(f"{name}/") for name in let_in), source


def test_ports_are_the_same_everywhere():
    assert found(r"dashboard-port=(\d+)") | found(r"name: dashboard, containerPort: (\d+)") == {
        "8265"
    }
    assert found(r"name: metrics, containerPort: (\d+)") == {"8080"}
    assert found(r"--port=(\d+)") | found(r"RAY_HEAD_IP:(\d+)") == {"6379"}
    assert found(r"name: gcs-server, containerPort: (\d+)") == {"6379"}


def test_a_token_is_asked_for_wherever_ray_starts():
    starts = re.compile(r"ray start --|ray symmetric-run|headGroupSpec:|containerEnv:")
    asks = re.compile(r"RAY_AUTH_MODE(=|, value: )token|^    mode: token", re.M)
    files = {path for path, text in TEXT.items() if starts.search(text) and path.suffix != ".md"}
    assert {path.name for path in files} == {
        "aws.yaml",
        "gcp.yaml",
        "metaopt.sbatch",
        "ray_cluster.yaml",
        "values.yaml",
    }
    assert all(asks.search(TEXT[path]) for path in files)


def test_no_token_is_an_argument():
    assert not found(r"(--\S*token[= ](?!/dev/stdin)\S+)")


def test_a_dashboard_for_all_addresses_has_a_token_in_the_same_file():
    for path, text in TEXT.items():
        if re.search(r"dashboard-host[:=] ?0\.0\.0\.0", text):
            assert "mode: token" in text or "RAY_AUTH_MODE, value: token" in text, path
