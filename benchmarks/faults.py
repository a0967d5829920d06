"""What faults of a cluster cost a run, and how long it takes to recover.

    python benchmarks/faults.py [--kills 200] [--json FILE]

Two nodes of this machine with two workers each, synchronous, and an estimate of a few milliseconds.
Each fault strikes in a run of its own, at its tenth outer step; recovered is when all four workers
run again. Every estimate that a worker was asked for is either used or counted under what became of
it: the script stops where that does not add up, or where a meta-parameter is not finite. One row
kills workers at random; growth is that of memory, open files and Ray actors in its second half. The
last, for root only, is on two hosts, each with a network of its own.
"""

import contextlib
import gc
import os
import pathlib
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import two_hosts
import tyro

WORKERS = 4
STRIKE = 10  # outer step
AFTER = 5  # outer steps that follow on the recovery
PATIENCE = {"suspicion_slack": 2.0, "probe": 3.0}  # for the frozen worker; minutes by default
LIMIT = 180.0  # seconds for a recovery


def main(kills: int = 200, json: pathlib.Path | None = None) -> None:
    """Measures and reports."""
    # Ray reads these when it is imported.
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with cluster() as nodes:  # before JAX
        import measure

        rows = [strike(name, fault, nodes) for name, fault in FAULTS.items()]
        rows.append(many_kills(kills))
    if two_hosts.are_possible():
        with two_hosts.hosts(workers_here=WORKERS, workers_there=WORKERS) as hosts:
            rows.append(strike("the network to half of the workers cut", cut, hosts))
    measure.report(f"Faults, {WORKERS} workers on 2 nodes", rows, json)


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """A Ray cluster whose head runs no workers, and two nodes for them."""
    import ray
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        nodes.add_node(num_cpus=2)
    ray.init(address=nodes.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


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


FAULTS = {
    "one worker killed": kill(1),
    "half of the workers killed": kill(WORKERS // 2),
    "all workers but one killed": kill(WORKERS - 1),
    "one worker frozen": freeze,
    "a node crashed, another one added": crash_node,
    "a node removed, another one added": drain_node,
}


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
def run() -> Iterator[tuple[Any, Audit, Callable[[Callable[[Any], bool]], Any]]]:
    """A pool, its audit, and what trains until a function of an outer step says to stop."""
    import jax

    from metaopt.estimators import PersistentES
    from metaopt.horizons import Fixed
    from metaopt.inner_problem import OptimizerTraining
    from metaopt.learned_optimizers import PerParameterMLP
    from metaopt.learner import Learner, meta_train
    from taskset import QuadraticFamily
    from workers.health import Patience
    from workers.ray_pool import RayPool
    from workers.worker import WorkerSpec

    problem = OptimizerTraining(QuadraticFamily(dim=2), PerParameterMLP())
    estimator = PersistentES(problem, 2, 2, Fixed(40))
    specs = [WorkerSpec(index, "quadratic", estimator, seed=0) for index in range(WORKERS)]
    learner = Learner(num_steps=10**9)
    with RayPool(specs, patience=Patience(**PATIENCE)) as pool:
        audit = Audit(pool)

        def train(until: Callable[[Any], bool]) -> Any:
            def on_step(done: Any) -> bool:
                audit.see(done)
                return until(done)

            state = learner.init(PerParameterMLP().init(jax.random.key(0)))
            return meta_train(learner, state, pool, on_step=on_step)

        yield pool, audit, train


def strike(name: str, fault: Callable[[Any, Any], None], nodes: Any) -> dict[str, Any]:
    """One fault, and what it cost."""
    struck = recovered = end = 0.0

    def until(done: Any) -> bool:
        nonlocal struck, recovered, end
        now = time.perf_counter()
        if done.state.step == STRIKE:
            fault(pool, nodes)
            struck = now
        elif struck and not recovered and pool.alive == WORKERS and sum(lost(audit).values()):
            recovered, end = now - struck, done.state.step + AFTER
        if struck and now - struck > LIMIT:
            raise AssertionError(f"{name}: not recovered in {LIMIT:.0f} s")
        return bool(end) and done.state.step >= end

    with run() as (pool, audit, train):
        state = train(until)
    return {
        "fault": name,
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
        "fault": f"{kills} random kills",
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
