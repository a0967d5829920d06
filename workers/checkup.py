"""What a machine needs to train, one check at a time. Imports neither JAX nor Ray.

A check finds out and never raises; what could hang is a process of its own, with an end to waiting.
"""

import importlib.metadata
import json
import os
import platform
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from workers.environment import cache_variables, compilation_cache
from workers.ray_cluster import OBJECT_STORE_BYTES

DEVICE_SECONDS = 60.0
RUN_SECONDS = 180.0  # a loaded machine compiles slowly; it takes about 20 elsewhere
DISK_BYTES = 2 * 2**30
CLOCK_SECONDS = 5.0
PORTS = {6379: "Ray", 8265: "the dashboard of Ray"}
LIBRARIES = ("metaopt", "jax", "jaxlib", "ray", "numpy", "optax")

RUN = """
tasks = ["quadratic:dim=2"]
[optimizer]
kind = "LearnableSGD"
[estimator]
num_tasks = 2
truncation = 2
horizon.steps = 4
[learner]
num_steps = 3
"""

DEVICES = """
import jax, json
print(json.dumps([f"{d.device_kind} ({d.platform})" for d in jax.devices()]))
"""


class Finding(NamedTuple):
    """What a check came to."""

    check: str
    state: Literal["ok", "warning", "failed"]
    found: str
    advice: str = ""


def versions() -> Finding:
    """Whether all that decides what is computed is installed."""
    found, missing = [f"python {platform.python_version()}"], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("versions", "failed", f"no {', '.join(missing)}", "run `make`")
    return Finding("versions", "ok", ", ".join(found))


def devices() -> Finding:
    """What JAX computes on, when it starts."""
    command = [sys.executable, "-c", DEVICES]
    done = _run(command, DEVICE_SECONDS)
    if done.status:
        return Finding("devices", "failed", done.last_line, "set JAX_PLATFORMS=cpu to do without")
    kinds = json.loads(done.output.splitlines()[-1])
    counted = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    return Finding("devices", "ok", f"{counted}; {os.cpu_count()} cores")


def shared_memory(folder: Path = Path("/dev/shm")) -> Finding:
    """Whether Ray's object store fits where it is fast."""
    if not folder.is_dir():
        return Finding("shared memory", "ok", f"no {folder} on this system")
    free = shutil.disk_usage(folder).free
    if free < OBJECT_STORE_BYTES:
        return Finding(
            "shared memory",
            "failed",
            f"{_size(free)} free in {folder}",
            f"Ray needs {_size(OBJECT_STORE_BYTES)}: docker run --shm-size 1g, or a larger tmpfs",
        )
    return Finding("shared memory", "ok", f"{_size(free)} free in {folder}")


def disk(folder: Path) -> Finding:
    """Whether runs and what Ray writes have room, and may be written."""
    temporary = Path(os.environ.get("RAY_TMPDIR") or "/tmp")
    here = _existing(folder)
    free = {path: shutil.disk_usage(path).free for path in (here, temporary) if path.exists()}
    found = ", ".join(f"{_size(free[path])} free in {path}" for path in free)
    refusing = [str(path) for path in free if not os.access(path, os.W_OK)]
    if refusing:
        return Finding("disk", "failed", f"cannot write to {refusing[0]}", "choose another --out")
    if min(free.values()) < DISK_BYTES:
        return Finding(
            "disk", "failed", found, f"make {_size(DISK_BYTES)} of room, or another --out"
        )
    return Finding("disk", "ok", found)


def clock(folder: Path) -> Finding:
    """Whether the clock agrees with that of the disk, which may be another machine's."""
    here = _existing(folder)
    try:
        with tempfile.NamedTemporaryFile(dir=here) as file:
            behind = time.time() - os.stat(file.name).st_mtime
    except OSError:
        behind = 0.0  # the disk has a check of its own
    installed = Path(__file__).stat().st_mtime
    now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    if abs(behind) > CLOCK_SECONDS or time.time() < installed - CLOCK_SECONDS:
        advice = "synchronise the clocks: states of runs and tokens of clouds go by them"
        return Finding("clock", "warning", f"{now}, {behind:+.0f} s from the disk's", advice)
    return Finding("clock", "ok", now)


def ports() -> Finding:
    """Who listens where a cluster of this machine would; another one takes other ports."""
    taken = [f"{port} ({what})" for port, what in PORTS.items() if _listens(port)]
    if taken:
        return Finding("ports", "ok", f"in use: {', '.join(taken)}; a cluster runs here")
    return Finding("ports", "ok", f"free: {', '.join(map(str, PORTS))}")


def token() -> Finding:
    """Whether clusters of others would be asked for a token, and by nobody else be read."""
    home = Path.home() / ".ray" / "auth_token"
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    file = Path(named) if named else home
    if os.environ.get("RAY_AUTH_TOKEN"):
        source = "RAY_AUTH_TOKEN"
    elif file.exists():
        source = str(file)
        if _others_can_read(file):
            return Finding("token", "failed", f"{file} is readable by others", f"chmod 600 {file}")
    else:
        source = ""
    mode = os.environ.get("RAY_AUTH_MODE", "")
    if mode == "token" and not source:
        advice = "run `ray get-auth-token --generate`, or set RAY_AUTH_TOKEN"
        return Finding("token", "failed", "RAY_AUTH_MODE=token, and no token", advice)
    if mode != "token":
        advice = "set RAY_AUTH_MODE=token for every cluster that others can reach"
        return Finding("token", "warning", f"RAY_AUTH_MODE is {mode or 'not set'}", advice)
    return Finding("token", "ok", f"from {source}")


def cache() -> Finding:
    """Whether compiled programs are kept, and by this user alone."""
    if not cache_variables():
        advice = "make it, or every process compiles again"
        return Finding("compilation cache", "warning", f"cannot use {compilation_cache()}", advice)
    chosen = Path(os.environ.get("JAX_COMPILATION_CACHE_DIR", str(compilation_cache())))
    if chosen.exists() and stat.S_IMODE(chosen.stat().st_mode) & 0o022:
        advice = f"chmod 700 {chosen}: whoever writes there runs code as you"
        return Finding("compilation cache", "failed", f"{chosen} is writable by others", advice)
    return Finding("compilation cache", "ok", str(chosen))


def small_run(address: str) -> Finding:
    """Three outer steps of a tiny task on Ray, from a file to checkpoints."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="metaopt-") as path:
        config, run = Path(path) / "run.toml", Path(path) / "run"
        config.write_text(RUN, encoding="utf-8")
        command = [sys.executable, "-m", "workers.cli", "train", "--config", str(config)]
        command += ["--out", str(run), "--workers.pool", "ray", "--address", address]
        done = _run(command, RUN_SECONDS)
        saved = list((run / "checkpoints").glob("step_*"))
    if done.status or not saved:
        advice = "`metaopt train --workers.pool process` does without Ray"
        return Finding("small run", "failed", done.last_line, advice)
    return Finding("small run", "ok", f"3 outer steps in {time.monotonic() - started:.0f} s")


class _Done(NamedTuple):
    status: int
    output: str
    last_line: str


def _run(command: Sequence[str], seconds: float) -> _Done:
    """Runs a command to its end or that of the time, with all that it has started."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return _Done(1, "", f"no end after {seconds:.0f} s")
    lines = (errors.strip() or output.strip() or "nothing was said").splitlines()
    return _Done(process.returncode, output, lines[-1])


def _existing(folder: Path) -> Path:
    """`folder`, or where it would be made."""
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _others_can_read(file: Path) -> bool:
    """Whether other users may read `file`, and come to it."""
    folders = (folder.stat().st_mode & 0o011 for folder in file.resolve().parents)
    return bool(file.stat().st_mode & 0o044) and all(folders)


def _size(number: float) -> str:
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
