"""What runs on the machines: clean under the linters, and it does what it says."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import command_lines
import manifests
import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "deploy" / "scripts"
SBATCH = ROOT / "deploy" / "slurm" / "metaopt.sbatch"
JOB = str(os.getpid())  # the number of a job of Slurm, which a folder in /tmp is named after
LINTERS = {
    "shellcheck": [*sorted(SCRIPTS.glob("*.sh")), SBATCH],
    "hadolint": [ROOT / "deploy" / "docker" / "Dockerfile"],
}

# Says what it was called with. Asked to wait, it is a learner that saves when it is told to end.
METAOPT = """#!/bin/sh
if [ -n "${WAIT:-}" ]; then
  trap 'mkdir -p "$WAIT/checkpoints/step_000001"
        touch "$WAIT/checkpoints/step_000001/manifest.json"; exit 143' TERM
fi
printf '%s\\n' "$@" > "$CALLS/metaopt"
if [ "$1" = resume ]; then exit "$RESUMED"; fi
i=0
while [ -n "${WAIT:-}" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done
"""
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
"""
RAY = """#!/bin/sh
printf '%s\\n' "$@" > "$CALLS/ray"
while [ "$1" != "--" ]; do shift; done
shift
"$@"
"""
SCONTROL = """#!/bin/sh
if [ "$1" = show ]; then echo node1; echo node2; else printf '%s\\n' "$@" > "$CALLS/scontrol"; fi
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose commands are stubs, which leave their arguments in `$CALLS`."""
    stubs = tmp_path / "bin"
    stubs.mkdir()
    for name, text in {"metaopt": METAOPT, "srun": SRUN, "ray": RAY, "scontrol": SCONTROL}.items():
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    folder = tmp_path / "submitted"  # a clone without an environment, which would hide the stubs
    folder.mkdir()
    for name in ("deploy", "recipes"):
        (folder / name).symlink_to(ROOT / name)
    return os.environ | {
        "PATH": f"{stubs}:{os.environ['PATH']}",
        "CALLS": str(tmp_path),
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": JOB,
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "16",
    }


def called(tmp_path: Path, name: str) -> list[str]:
    return (tmp_path / name).read_text().splitlines()


def train_or_resume(environment: dict[str, str], *arguments: object):
    command = [SCRIPTS / "train_or_resume.sh", *map(str, arguments)]
    subprocess.run(command, env=environment, timeout=60, check=True)


@pytest.mark.parametrize("linter", LINTERS)
def test_linters_find_nothing(linter: str):
    program = shutil.which(linter, path=f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}")
    if program is None:
        pytest.skip(f"{linter} is not installed")
    done = subprocess.run(
        [program, *LINTERS[linter]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_job_of_kuberay_begins_a_run(environment, tmp_path, monkeypatch):
    words = manifests.job()["spec"]["entrypoint"].split()
    assert (SCRIPTS / words[0]).exists()
    run = tmp_path / "digits"
    train_or_resume(environment, run, *words[2:])
    arguments = called(tmp_path, "metaopt")
    image = "/opt/metaopt/"
    assert f"COPY recipes {image}recipes" in (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    monkeypatch.chdir(ROOT)
    command = command_lines.understood(["metaopt", *(a.replace(image, "") for a in arguments)])
    assert (command.out, command.resume) == (run, None)
    assert (command.settings.workers.number, command.settings.workers.address) == (8, "auto")


def test_a_run_with_a_checkpoint_goes_on(environment, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints" / "step_000010").mkdir(parents=True)
    (run / "checkpoints" / "step_000010" / "manifest.json").touch()
    (run / "config.toml").touch()
    train_or_resume(environment, run, "run.toml", "--workers", 2)
    arguments = called(tmp_path, "metaopt")
    assert arguments == ["train", "--resume", str(run)]
    assert command_lines.understood(["metaopt", *arguments]).resume == run


def test_a_run_without_a_checkpoint_is_moved_away(environment, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text("kept")
    train_or_resume(environment, run, "run.toml")
    assert called(tmp_path, "metaopt") == ["train", "--config", "run.toml", "--out", str(run)]
    (aside,) = tmp_path.glob("run.without-checkpoint.*")
    assert (aside / "config.toml").read_text() == "kept"


@pytest.mark.parametrize(
    ("status", "last"),
    [("0", "resume s3://x/run"), ("2", "train --config run.toml --out s3://x/run")],
)
def test_a_run_at_a_url_goes_on_or_begins(status, last, environment, tmp_path):
    train_or_resume(environment | {"RESUMED": status}, "s3://x/run", "run.toml")
    assert " ".join(called(tmp_path, "metaopt")) == last


def wait_for(condition, seconds: float = 60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_learner_that_is_stopped_may_save(environment, tmp_path):
    run = tmp_path / "run"
    command = [tmp_path / "bin" / "metaopt", "train", "--out", str(run)]
    other = [tmp_path / "bin" / "metaopt", "train", "--out", str(tmp_path / "other")]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    of_other = {"WAIT": str(tmp_path / "other"), "CALLS": str(elsewhere)}
    with (
        subprocess.Popen(command, env=environment | {"WAIT": str(run)}) as learner,
        subprocess.Popen(other, env=environment | of_other) as another,
    ):
        wait_for((tmp_path / "metaopt").exists)
        wait_for((elsewhere / "metaopt").exists)
        stop = [SCRIPTS / "stop_learner.sh", "30", str(run)]
        done = subprocess.run(stop, timeout=60, check=True, capture_output=True, text=True)
        assert learner.wait(timeout=60) == 143
        assert another.poll() is None
        another.terminate()
        assert another.wait(timeout=60) == 143
    assert done.stderr == ""
    assert (run / "checkpoints").exists()


def test_the_job_of_slurm_starts_ray_on_all_nodes(environment, tmp_path):
    run = tmp_path / "run"
    command = ["bash", SBATCH, run, "recipes/digits.toml", "--workers", "32"]
    subprocess.run(command, env=environment, timeout=60, check=True)
    ray = called(tmp_path, "ray")
    assert ray[:5] == [
        "symmetric-run",
        "--address",
        f"node1:{20000 + int(JOB) % 20000}",
        "--min-nodes",
        "2",
    ]
    assert called(tmp_path, "metaopt") == (
        f"train --config recipes/digits.toml --out {run} --address auto --workers 32".split()
    )
    assert not Path(f"/tmp/metaopt-{JOB}").exists()
    assert not (tmp_path / "scontrol").exists()


def test_the_job_of_slurm_saves_and_queues_again(environment, tmp_path):
    run = tmp_path / "run"
    command = ["bash", SBATCH, run, "recipes/digits.toml"]
    with subprocess.Popen(command, env=environment | {"WAIT": str(run)}) as job:
        wait_for((tmp_path / "metaopt").exists)
        job.send_signal(signal.SIGTERM)
        assert job.wait(timeout=60) == 143
    assert called(tmp_path, "scontrol") == ["requeue", JOB]
    assert (run / "checkpoints" / "step_000001").exists()
