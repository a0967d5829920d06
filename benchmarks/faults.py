"""What faults of a cluster cost a run, and how long it takes to recover.

    python benchmarks/faults.py [--kills 200] [--json FILE]

Two nodes of this machine with two workers each, synchronous, and an estimate of a few milliseconds.
Each fault strikes in a run of its own, at its tenth outer step; recovered is when all four workers
run again. Every estimate that a worker was asked for is either used or counted under what became of
it: the script stops where that does not add up, or where a meta-parameter is not finite. It goes on
where the file stops.

One row kills workers at random; growth is that of memory, open files and Ray actors in its second
half. Two have clusters of their own: where Ray's monitor of memory has a limit just above what this
machine holds, and where Ray's control store (GCS) keeps on disk what it knows. The last, for root
only, is on two hosts, each with a network of its own.
"""

import contextlib
import gc
import os
import pathlib
import random
import secrets
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import psutil
import two_hosts
import tyro

WORKERS = 4
TITLE = f"Faults, {WORKERS} workers on 2 nodes"
STRIKE = 10  # outer step
AFTER = 5  # outer steps that follow on the recovery
PATIENCE = {"suspicion_slack": 2.0, "probe": 3.0}  # for the frozen worker; minutes by default
DOWN = 10.0  # seconds that Ray's control store is not there
NO_MONITOR = {"RAY_memory_monitor_refresh_ms": "0"}  # what else this machine does is no fault
LIMIT = 180.0  # seconds for a recovery


def main(kills: int = 200, json: pathlib.Path | None = None) -> None:
    """Measures and reports."""
    # Ray reads these when it is imported.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with cluster(NO_MONITOR) as nodes:  # before JAX
        import measure

        rows = measure.saved_rows(json)

        def record(name: str, measured: Callable[..., dict[str, Any]], *how: Any) -> None:
            if name not in [row["fault"] for row in rows]:
                rows.append({"fault": name} | measured(*how))
                measure.save(TITLE, rows, json)

        for name, fault in FAULTS.items():
            record(name, strike, fault, nodes)
        record("a worker over workers.max_memory", strike, feed("hold"), nodes, None, 1e9)
        record(f"{kills} random kills", many_kills, kills)
    with cluster(memory_monitor()) as nodes:
        record("a worker ended by Ray for its memory", strike, feed("all"), nodes)
    with control_store() as variables, cluster(NO_MONITOR | variables) as nodes:
        record(GCS_DOWN, strike, kill_gcs, nodes, start_gcs)
    if two_hosts.are_possible():
        with two_hosts.hosts(workers_here=WORKERS, workers_there=WORKERS) as hosts:
            record("the network to half of the workers cut", strike, cut, hosts)
    measure.report(TITLE, rows, json)


@contextlib.contextmanager
def cluster(variables: dict[str, str]) -> Iterator[Any]:
    """A Ray cluster whose head runs no workers, and two nodes for them."""
    import ray
    from ray.cluster_utils import Cluster

    with environment(variables):
        nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for _ in range(2):
            nodes.add_node(num_cpus=2)
        ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
        try:
            yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """These variables besides those that there are."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def memory_monitor() -> dict[str, str]:
    """What makes Ray end workers once this machine holds 6 GB more than now."""
    memory = psutil.virtual_memory()
    most = (memory.total - memory.available + 6e9) / memory.total
    return {"RAY_memory_usage_threshold": f"{most:.3f}", "RAY_memory_monitor_refresh_ms": "100"}


@contextlib.contextmanager
def control_store() -> Iterator[dict[str, str]]:
    """What makes Ray keep on disk what its control store (GCS) knows."""
    with tempfile.TemporaryDirectory(prefix="gcs") as folder:
        yield {"RAY_gcs_storage": "rocksdb", "RAY_gcs_storage_path": folder}


def kill(count: int) -> Callable[[Any, Any], None]:
    """Kills so many workers at once."""

    def fault(pool: Any, nodes: Any) -> None:
        for worker in range(count):
            os.kill(pool.pids[worker], signal.SIGKILL)

    return fault


def freeze(pool: Any, nodes: Any) -> None:
    """Stops a worker's process without ending it."""
    os.kill(pool.pids[0], signal.SIGSTOP)


def crash_node(pool: Any, nodes: Any) -> None:
    """Kills the raylet of a node, and gives the cluster another one."""
    node = sorted(nodes.worker_nodes, key=lambda node: node.node_id)[0]
    nodes.remove_node(node, allow_graceful=False)
    nodes.add_node(num_cpus=2)


def drain_node(pool: Any, nodes: Any) -> None:
    """Takes a node away in good order, and gives the cluster another one."""
    node = sorted(nodes.worker_nodes, key=lambda node: node.node_id)[0]
    nodes.remove_node(node, allow_graceful=True)
    nodes.add_node(num_cpus=2)


def cut(pool: Any, hosts: Any) -> None:
    """Cuts the cable between two hosts; there are cores on the one for all workers."""
    hosts.cut()


def feed(appetite: Any) -> Callable[[Any, Any], None]:
    """Lets the last worker take memory."""

    def fault(pool: Any, nodes: Any) -> None:
        del nodes
        pool._specs[-1].feed(appetite)

    return fault


def kill_gcs(pool: Any, nodes: Any) -> None:
    """Kills Ray's control store, and a worker, which cannot be replaced without it."""
    nodes.head_node.kill_gcs_server()
    os.kill(pool.pids[0], signal.SIGKILL)


def start_gcs(nodes: Any) -> None:
    """Starts it again, at the same port."""
    nodes.head_node.start_gcs_server()


GCS_DOWN = f"control store and a worker killed, the former back after {DOWN:.0f} s"
FAULTS = {
    "one worker killed": kill(1),
    "half of the workers killed": kill(WORKERS // 2),
    "all workers but one killed": kill(WORKERS - 1),
    "one worker frozen": freeze,
    "a node crashed, another one added": crash_node,
    "a node removed, another one added": drain_node,
    "one worker out of memory": feed("limit"),
}


# Trains until a function of an outer step says to stop; returns the last state.
Train: TypeAlias = Callable[[Callable[[Any], bool]], Any]


class Audit:
    """Counts what a pool asks of its workers, and what becomes of it."""

    def __init__(self, pool: Any):
        self.asked = 0
        self.outcomes: Counter[str] = Counter()
        submit = pool._transport.submit

        def counting(worker: int, method: str, *arguments: Any) -> None:
            self.asked += method == "compute"
            submit(worker, method, *arguments)

        pool._transport.submit = counting

    def see(self, done: Any) -> None:
        """Takes the account of an outer step, after which no worker of the pool is busy."""
        import jax
        import numpy as np

        lost = (*done.aggregate.dropped, *done.lost)
        self.outcomes.update(["used"] * len(done.aggregate.used), lost=0)
        self.outcomes.update(loss.cause for loss in lost)
        if self.asked != self.outcomes.total():
            raise AssertionError(f"{self.asked} estimates asked for, {dict(self.outcomes)} found")
        leaves = jax.tree.leaves(done.state.meta_params)
        if not all(np.isfinite(leaf).all() for leaf in leaves):
            raise AssertionError("a meta-parameter is not finite")


@contextlib.contextmanager
def run(max_worker_bytes: float = 0) -> Iterator[tuple[Any, Audit, Train]]:
    """A pool, its audit, and what trains."""
    import jax
    from hungry import Hungry

    from metaopt.estimators import PersistentES
    from metaopt.horizons import Fixed
    from metaopt.inner_problem import OptimizerTraining
    from metaopt.learned_optimizers import PerParameterMLP
    from metaopt.learner import Learner, meta_train
    from taskset import QuadraticFamily
    from workers.health import Patience
    from workers.ray_pool import RayPool

    problem = OptimizerTraining(QuadraticFamily(dim=2), PerParameterMLP())
    estimator = PersistentES(problem, 2, 2, Fixed(40))
    learner = Learner(num_steps=10**9)
    options = {"patience": Patience(**PATIENCE), "max_worker_bytes": max_worker_bytes}
    with tempfile.TemporaryDirectory() as folder:
        feeding = {"seed": 0, "folder": pathlib.Path(folder)}
        specs = [Hungry(index, "quadratic", estimator, **feeding) for index in range(WORKERS)]
        with RayPool(specs, **options) as pool:
            audit = Audit(pool)

            def train(until: Callable[[Any], bool]) -> Any:
                def on_step(done: Any) -> bool:
                    audit.see(done)
                    return until(done)

                state = learner.init(PerParameterMLP().init(jax.random.key(0)))
                return meta_train(learner, state, pool, on_step=on_step)

            yield pool, audit, train


def strike(
    fault: Callable[[Any, Any], None],
    nodes: Any,
    mend: Callable[[Any], None] | None = None,
    max_worker_bytes: float = 0,
) -> dict[str, Any]:
    """One fault, and what it cost. What `mend` mends is down for `DOWN` seconds."""
    struck = recovered = end = 0.0
    pids: dict[int, int] = {}

    def until(done: Any) -> bool:
        nonlocal struck, recovered, end, mend
        now = time.perf_counter()
        if done.state.step == STRIKE:
            pids.update(pool.pids)
            fault(pool, nodes)
            struck = now
        elif mend and struck and now - struck > DOWN:
            mend(nodes)
            mend = None
        elif struck and not recovered and pool.alive == WORKERS and pool.pids != pids:
            recovered, end = now - struck, done.state.step + AFTER
        if struck and now - struck > LIMIT:
            raise AssertionError(f"not recovered in {LIMIT:.0f} s")
        return bool(end) and done.state.step >= end

    with run(max_worker_bytes) as (pool, audit, train):
        state = train(until)
    return {
        "seconds to recover": recovered,
        "outer steps": state.step,
        "used": audit.outcomes["used"],
        "not used": ", ".join(f"{n} {cause}" for cause, n in lost(audit).items()),
        "growth": "",
    }


def lost(audit: Audit) -> dict[str, int]:
    """What was not used, by cause."""
    return {cause: n for cause, n in audit.outcomes.items() if n and cause != "used"}


def many_kills(kills: int) -> dict[str, Any]:
    """Kills of random workers, one after another, as soon as all workers run."""
    draw, done_kills = random.Random(0), 0
    began = time.perf_counter()
    sizes: list[dict[str, float]] = []

    def until(done: Any) -> bool:
        nonlocal done_kills
        if pool.alive < WORKERS or done.state.step < STRIKE:
            return False
        if done_kills % max(kills // 2, 1) == 0:
            sizes.append(held())
        if done_kills == kills:
            return True
        os.kill(pool.pids[draw.randrange(WORKERS)], signal.SIGKILL)
        done_kills += 1
        return False

    with run() as (pool, audit, train):
        state = train(until)
    growth = {key: sizes[-1][key] - sizes[-2][key] for key in sizes[-1]}
    return {
        "seconds to recover": (time.perf_counter() - began) / max(kills, 1),
        "outer steps": state.step,
        "used": audit.outcomes["used"],
        "not used": ", ".join(f"{n} {cause}" for cause, n in lost(audit).items()),
        "growth": ", ".join(f"{value:+.3g} {key}" for key, value in growth.items()),
    }


def held() -> dict[str, float]:
    """What this process holds, and how many actors are alive."""
    from ray.util.state import list_actors

    gc.collect()
    process = psutil.Process()
    return {
        "MB": process.memory_info().rss / 1e6,
        "files": process.num_fds(),
        "actors": len(list_actors(filters=[("state", "=", "ALIVE")], limit=1000)),
    }


if __name__ == "__main__":
    tyro.cli(main)
