"""Two hosts on one machine, each with a network of its own, and a cable between them to cut.

For root on Linux: a network namespace, a pair of virtual Ethernet devices, and a Ray node at each.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

NAMESPACE = "metaopt"
HERE, THERE = "10.213.77.1", "10.213.77.2"
WITHIN = ("ip", "netns", "exec", NAMESPACE)
CABLE, OTHER_END = "metaopt0", "metaopt1"
PORT = 6399
SECONDS = 120.0  # for a node to start


def are_possible() -> bool:
    """Whether this process may make hosts."""
    return os.name == "posix" and os.geteuid() == 0 and shutil.which("ip") is not None


class Hosts:
    """A cluster of a head here, and one node there."""

    def cut(self) -> None:
        """Takes the cable out."""
        _run("ip", "link", "set", CABLE, "down")

    def connect(self) -> None:
        """Puts the cable back."""
        _run("ip", "link", "set", CABLE, "up")


@contextlib.contextmanager
def hosts(workers_here: int, workers_there: int) -> Iterator[Hosts]:
    """A Ray cluster of two hosts, to which this process is connected. Gone at the end."""
    import ray

    start = [str(Path(sys.executable).parent / "ray"), "start", "--disable-usage-stats"]
    here = ["--head", f"--node-ip-address={HERE}", f"--port={PORT}", "--include-dashboard=false"]
    there = [f"--address={HERE}:{PORT}", f"--node-ip-address={THERE}"]
    with tempfile.TemporaryDirectory(prefix="hosts", dir="/tmp") as folder, _network():
        try:
            _run(*start, *here, f"--num-cpus={workers_here}", f"--temp-dir={folder}")
            _run(*WITHIN, *start, *there, f"--num-cpus={workers_there}")
            ray.init(address=f"{HERE}:{PORT}", log_to_driver=False, logging_level="ERROR")
            yield Hosts()
        finally:
            ray.shutdown()
            _end_processes(folder)


def _end_processes(folder: str) -> None:
    """Ends the processes of the cluster of this folder, and of no other one of this machine."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or ()
        if any(folder in word or f"{HERE}:{PORT}" in word for word in words):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@contextlib.contextmanager
def _network() -> Iterator[None]:
    _remove_network()  # of a run that was killed
    try:
        _run("ip", "netns", "add", NAMESPACE)
        _run("ip", "link", "add", CABLE, "type", "veth", "peer", OTHER_END, "netns", NAMESPACE)
        _run("ip", "address", "add", f"{HERE}/24", "dev", CABLE)
        _run("ip", "link", "set", CABLE, "up")
        _run(*WITHIN, "ip", "address", "add", f"{THERE}/24", "dev", OTHER_END)
        _run(*WITHIN, "ip", "link", "set", OTHER_END, "up")
        _run(*WITHIN, "ip", "link", "set", "lo", "up")
        yield
    finally:
        _remove_network()


def _remove_network() -> None:
    _run("ip", "netns", "delete", NAMESPACE, check=False)
    _run("ip", "link", "delete", CABLE, check=False)


def _run(*command: str, check: bool = True) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
