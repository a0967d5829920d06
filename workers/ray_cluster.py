"""Starting Ray, or finding it.

Before JAX is imported: Ray forks to start its processes, which a process with the threads of JAX
must not do. So this module imports nothing of ours that imports JAX.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskset.cores import num_cores
from taskset.errors import InputError

OBJECT_STORE_BYTES = 256 * 2**20  # weights and results of some steps; Ray would reserve gigabytes

CONNECT_SECONDS = 10.0


def start_ray(address: str = "local", num_workers: int = 1) -> None:
    """Connects this process to Ray.

    `address` is "local" for a cluster of this machine alone, which ends with `stop_ray` or with
    this process, and is started even where another one runs; "auto" for the one that runs here or
    that RAY_ADDRESS names; or host:port. Raises `InputError` when there is no cluster there.

    Takes some seconds, and the process's handler of SIGTERM: set yours afterwards.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # and silences a warning
    try:
        _check_answers(address)
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **(_local_options(num_workers) if address == "local" else {}),
        )
    except Exception as error:  # Ray has none of its own for a node that does not start in time
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise InputError(
            f"no Ray cluster at address {address!r}: {reason}; "
            "use --address local to start one, or host:port of a running one"
        ) from error


def stop_ray() -> None:
    """Disconnects, and ends the cluster if it was started with "local"."""
    import ray

    ray.shutdown()


@contextmanager
def ray_cluster(address: str = "local", num_workers: int = 1) -> Iterator[None]:
    """`start_ray`, and at the end `stop_ray`."""
    start_ray(address, num_workers)
    try:
        yield
    finally:
        stop_ray()


def _check_answers(address: str) -> None:
    """Raises `OSError` when nothing listens at host:port, which Ray tries for two minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()


def _local_options(num_workers: int) -> dict[str, Any]:
    return {
        "num_cpus": max(num_workers, num_cores()),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
