"""For every test: strict numerics, no silent promotion of dtypes or ranks; one Ray cluster."""

import gc
import os
import secrets
import subprocess
import sys

from workers.environment import cache_variables

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# PyTorch: on small tensors its threads wait for each other, and for other tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Most of the time of a session is compilation: what an earlier one or another process compiled is
# taken from the cache that workers use. Without a home it is compiled again.
os.environ |= cache_variables() | os.environ
# Ray reads these when it is imported. The token keeps others on this machine out of the cluster.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}

import jax
import pytest

# Tracing makes objects by the million: to look for garbage seldom is a third of its time less.
gc.set_threshold(100_000, 50, 100)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# In a process of its own, for Ray must not start in one that has imported JAX. It ends with its
# standard input, so with this process at the latest.
CLUSTER = """
import ray, sys
from workers.ray_cluster import ray_cluster
with ray_cluster("local", num_workers=4):
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]):
    """With several processes, a file is the work of one; files that use Ray, all of one."""
    with_ray = {item.path for item in items if item.get_closest_marker("ray")}
    for item in items:
        group = "ray" if item.path in with_ray else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def cluster_address():
    """The address of the session's Ray cluster."""
    command = [sys.executable, "-c", CLUSTER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield process.stdout.readline().strip()
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.fixture(scope="module")
def ray_address(cluster_address):
    """The address of the session's Ray cluster, to which this process is connected.

    For one module: Ray ends a process whose cluster does not answer, whatever it is doing.
    """
    from workers.ray_cluster import ray_cluster

    with ray_cluster(cluster_address):
        yield cluster_address


@pytest.fixture(scope="module", autouse=True)
def no_programs_of_other_modules():
    """Lets go of compiled programs, of which all modules together hold gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="module")
def standard_promotion():
    """For modules that run optax's Adam, which takes float ** int."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def double_precision():
    """For modules that compare what single precision would not tell apart."""
    with jax.enable_x64(True):
        yield
