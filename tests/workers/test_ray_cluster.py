"""Ray starts cleanly, ends with its user, and says clearly what is wrong with an address."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

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


def run(code, *arguments, env=None):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True, env=env)


def has_ended(pid):
    """Whether a process is gone, or dead and only waiting for whoever inherited it to notice."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


@pytest.mark.slow
def test_a_local_cluster_starts_without_warnings_and_ends_with_its_user():
    done = run(LOCAL)
    results, enough, pid = done.stdout.split()
    assert (results, enough) == ("1", "True")
    assert done.stderr == ""
    end = time.monotonic() + 60  # a worker ends once it sees that its raylet did
    while not has_ended(pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert has_ended(pid)


def test_an_address_without_a_cluster_is_one_line():
    found = run(WRONG, "127.0.0.1:1").stdout
    assert found.startswith("no Ray cluster at address '127.0.0.1:1': ")
    assert "--address local" in found
    assert found.count("\n") == 1


NODES = """
import json
from ray.cluster_utils import Cluster
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
first = nodes.add_node(num_cpus=1)
nodes.add_node(num_cpus=1)
import ray
ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
from tests.workers import test_local as t
from workers.ray_pool import RayPool

alive, lost = [], []
def on_step(step):
    alive.append(pool.alive)
    lost.extend(loss.cause for loss in step.lost)
    if step.state.step == 5:
        nodes.remove_node(first, allow_graceful=False)
    if lost and alive.count(1) == 5:
        nodes.add_node(num_cpus=1)
    return bool(lost) and pool.alive == 2

with RayPool(t.specs(t.QUICK, t.QUICK)) as pool:
    learner = t.Learner(t.OuterOptimizer("sgd"), num_steps=10**6)
    t.meta_train(learner, learner.init(t.weights().meta_params), pool, on_step=on_step)
print(json.dumps([sorted(set(alive)), lost]))
ray.shutdown()
nodes.shutdown()
"""


@pytest.mark.slow
def test_a_run_outlives_a_node_and_takes_in_another_one():
    said = run(NODES).stdout  # where Ray says something too
    alive, lost = next(json.loads(line) for line in said.splitlines() if line.startswith("[["))
    assert alive == [1, 2]
    assert lost == ["lost"]


CONTROL_STORE = """
import json, os, signal
from ray.cluster_utils import Cluster
nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
import ray
ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
from tests.workers import test_local as t
from workers.ray_pool import RayPool

without, lost = [], []
def on_step(step):
    lost.extend(loss.cause for loss in step.lost)
    if step.state.step == 5:
        nodes.head_node.kill_gcs_server()
        os.kill(pool.pids[0], signal.SIGKILL)
    elif 5 < step.state.step <= 10:
        without.append(pool.alive)
    if step.state.step == 10:
        nodes.head_node.start_gcs_server()
    return step.state.step > 10 and pool.alive == 2

with RayPool(t.specs(t.QUICK, t.QUICK)) as pool:
    learner = t.Learner(t.OuterOptimizer("sgd"), num_steps=10**6)
    t.meta_train(learner, learner.init(t.weights().meta_params), pool, on_step=on_step)
print(json.dumps([without, lost]))
ray.shutdown()
nodes.shutdown()
"""


@pytest.mark.slow
def test_a_run_goes_on_while_the_control_store_is_down(tmp_path):
    storage = {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": str(tmp_path)}
    said = run(CONTROL_STORE, env=os.environ | storage).stdout
    without, lost = next(json.loads(line) for line in said.splitlines() if line.startswith("[["))
    assert without == [1] * 5  # nobody could take the place of the other worker
    assert lost == ["lost"]
