"""Ray starts cleanly, ends with its user, and says clearly what is wrong with an address."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.ray

LOCAL = """
from workers.ray_cluster import ray_cluster
with ray_cluster("local", num_workers=3):
    import ray, jax
    jax.numpy.ones(2).block_until_ready()
    from workers.ray_pool import RayPool
    from tests.workers import test_local as t
    with RayPool(t.specs(t.QUICK)) as pool:
        pool.broadcast(t.weights())
        print(len(pool.collect()), int(ray.cluster_resources()["CPU"]) >= 3, pool.pids[0])
    assert ray.is_initialized(), "the pool did not start Ray, so it must not stop it"
"""

WRONG = """
import sys
from taskset.errors import InputError
from workers.ray_cluster import start_ray
try:
    start_ray(sys.argv[1])
except InputError as error:
    print(error)
"""


def run(code, *arguments):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
def test_a_local_cluster_starts_without_warnings_and_ends_with_its_user():
    done = run(LOCAL)
    results, enough, pid = done.stdout.split()
    assert (results, enough) == ("1", "True")
    assert done.stderr == ""
    with pytest.raises(FileNotFoundError):
        open(f"/proc/{pid}/stat").close()


def test_an_address_without_a_cluster_is_one_line():
    found = run(WRONG, "127.0.0.1:1").stdout
    assert found.startswith("no Ray cluster at address '127.0.0.1:1': ")
    assert "--address local" in found
    assert found.count("\n") == 1
