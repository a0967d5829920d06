"""What goes wrong with processes: they hang, they die again and again, they are left alone."""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import psutil
import pytest

from metaopt.aggregate import Dropped, Weights
from metaopt.estimators import PersistentES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.per_parameter_mlp import PerParameterMLP
from metaopt.learner import Learner, meta_train
from metaopt.outer_optimizer import OuterOptimizer
from taskset.errors import InputError
from taskset.families.mlp import MLPFamily
from taskset.families.quadratic import QuadraticFamily
from workers.health import MAX_FAILURES, Patience
from workers.host import PROBE, Raised
from workers.local import InProcessPool, Processes, ProcessPool
from workers.transport import Died
from workers.worker import Worker, WorkerSpec

OPTIMIZER = PerParameterMLP()  # compiles in half the time
PROBLEM = OptimizerTraining(QuadraticFamily(dim=2), OPTIMIZER)
QUICK = PersistentES(PROBLEM, 2, 2, Fixed(4))
SLOW = PersistentES(PROBLEM, 2, 20_000, Fixed(40_000))
BRIEF = Patience(quarantine=0.01)
WAIT = 60.0  # seconds for what takes one or two


def specs(*estimators):
    return [WorkerSpec(i, f"task{i}", estimator, seed=0) for i, estimator in enumerate(estimators)]


def weights(outer_step=0):
    return Weights(outer_step, jax.device_get(OPTIMIZER.init(jax.random.key(0))), {})


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def soon(condition):
    end = time.monotonic() + WAIT
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_a_worker_that_hangs_is_late_and_replaced():
    with ProcessPool(specs(QUICK), patience=Patience(slack=0.5)) as pool:
        pool.broadcast(weights())
        for _ in range(2):  # one compiles, one tells how long it takes
            assert len(pool.collect()) == 1
        os.kill(pool.pids[0], signal.SIGSTOP)
        pool.broadcast(weights(1))
        assert list(pool.collect()) == []
        assert list(pool.lost()) == [Dropped("late", 0, "task0", 0)]
        assert list(pool.lost()) == []
        assert [result.outer_step for result in pool.collect()] == [1]


@dataclasses.dataclass(frozen=True)
class Hungry(WorkerSpec):
    """A worker that wants more memory than its process may have, until it is replaced."""

    def build(self, outer_step=0):
        return HungryWorker(self) if outer_step == 0 else Worker(self)


class HungryWorker(Worker):
    def compute(self, weights):
        if weights.outer_step == 1:
            held = psutil.Process().memory_info().vms
            resource.setrlimit(resource.RLIMIT_AS, (held + 2**26, held + 2**26))
            self.eaten = np.ones(2**27, np.int8)
        return super().compute(weights)


def test_a_worker_out_of_memory_costs_its_estimate_and_is_replaced():
    with ProcessPool([Hungry(0, "task0", QUICK, seed=0)], patience=BRIEF) as pool:
        pool.broadcast(weights())
        assert len(pool.collect()) == 1
        pool.broadcast(weights(1))
        assert list(pool.collect()) == []
        assert list(pool.lost()) == [Dropped("raised", 0, "task0", 0)]
        assert [result.outer_step for result in pool.collect()] == [1]


def test_asynchronous_results_come_as_they_arrive_and_stale_ones_are_dropped():
    steps = []

    def on_step(step):
        steps.append(step)
        return any(dropped.worker == 1 for dropped in step.aggregate.dropped)

    learner = Learner(OuterOptimizer("sgd", learning_rate=1e-9), num_steps=10**6)
    with ProcessPool(specs(QUICK, SLOW), asynchronous=True) as pool:
        state = learner.init(weights().meta_params)
        meta_train(learner, state, pool, max_staleness=1, on_step=on_step)
    used = [(result, step.state.step - 1) for step in steps for result in step.aggregate.used]
    assert len(steps) > 3  # the slow worker was not waited for
    assert max(now - result.outer_step for result, now in used) <= 1
    (stale,) = steps[-1].aggregate.dropped
    assert (stale.cause, stale.worker, stale.task) == ("stale", 1, "task1")
    assert stale.staleness > 1


def test_an_asynchronous_pool_can_wait_for_several_results():
    with ProcessPool(specs(QUICK, QUICK), asynchronous=True, min_results=2) as pool:
        for step in range(3):
            pool.broadcast(weights(step))
            assert [result.worker for result in pool.collect()] == [0, 1]


@pytest.mark.parametrize("min_results", [-1, 3])
def test_waiting_for_more_results_than_workers_is_refused(min_results):
    with pytest.raises(InputError, match=f"min_results is {min_results}.*number of workers, 2"):
        ProcessPool(specs(QUICK, QUICK), asynchronous=True, min_results=min_results)


@pytest.mark.slow
def test_a_worker_that_moves_to_a_new_process_goes_on_to_the_same_bits():
    found = []
    for pool in (InProcessPool(specs(QUICK)), ProcessPool(specs(QUICK), max_worker_bytes=1)):
        with pool:
            for step in range(3):
                pool.broadcast(weights(step))
                (result,) = pool.collect()
            found.append([leaf.tobytes() for leaf in jax.tree.leaves(result.estimate.gradient)])
            pids = getattr(pool, "pids", {})
    assert found[0] == found[1]
    assert pids[0] != os.getpid()


def broken(load):
    """An estimator whose data come from `load`; a class that no other process could import."""

    @dataclasses.dataclass(frozen=True)
    class Broken(OptimizerTraining):
        def load_data(self):
            return load()

    return dataclasses.replace(QUICK, problem=Broken(PROBLEM.family, OPTIMIZER))


def test_a_worker_that_dies_at_each_start_ends_the_run():
    with ProcessPool(specs(broken(lambda: os._exit(3))), patience=BRIEF) as pool:
        pool.broadcast(weights())
        with pytest.raises(RuntimeError, match=rf"started {MAX_FAILURES} times.*ended with 3"):
            pool.collect()


def test_an_exception_in_a_worker_comes_with_its_traceback():
    with ProcessPool(specs(broken(lambda: {}["nothing"]))) as pool:
        pool.broadcast(weights())
        with pytest.raises(RuntimeError, match=r"(?s)worker 0 \(task0\).*KeyError: 'nothing'"):
            pool.collect()


@pytest.mark.parametrize("pool_class", [InProcessPool, ProcessPool])
def test_data_that_are_not_there_are_an_input_error(pool_class, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    family = MLPFamily(dataset="cifar10", source="tfds")
    estimator = dataclasses.replace(QUICK, problem=OptimizerTraining(family, OPTIMIZER))
    with pytest.raises(InputError, match="cifar10"), pool_class(specs(estimator)) as pool:
        pool.broadcast(weights())
        pool.collect()


def test_closing_twice_ends_the_processes_once():
    pool = ProcessPool(specs(QUICK))
    pool.broadcast(weights())
    pool.collect()
    pool.close()
    pool.close()
    assert not is_running(pool.pids[0])


def test_a_process_that_takes_nothing_keeps_nobody_waiting():
    transport = Processes()
    large = np.zeros(10_000_000, np.float32)
    try:
        transport.launch(0)
        transport.submit(0, PROBE)
        while not list(transport.wait(1)):
            pass
        process = transport._processes[0]
        process.send_signal(signal.SIGSTOP)
        transport.submit(0, "nothing", large)  # would not return, did it wait
        assert list(transport.wait(0.1)) == []
        process.send_signal(signal.SIGCONT)
        worker, method, outcome = next(o for _ in range(10_000) for o in transport.wait(1))
        assert (worker, method) == (0, "nothing")
        assert isinstance(outcome, Raised)
    finally:
        transport.close()


def test_a_death_between_two_calls_is_told_to_the_next():
    transport = Processes()
    try:
        transport.launch(0)
        transport.submit(0, PROBE)
        while not list(transport.wait(1)):
            pass
        transport._processes[0].kill()
        assert list(transport.wait(1)) == []
        transport.submit(0, "snapshot")
        ((worker, method, died),) = transport.wait(1)
        assert (worker, method) == (0, "snapshot")
        assert isinstance(died, Died) and "ended with -9" in died.reason
        transport.stop(0)
        transport.launch(0)
        transport.submit(0, PROBE)
        assert next(o for _ in range(10_000) for o in transport.wait(1)) == (0, PROBE, None)
    finally:
        transport.close()


ORPHAN = """
from tests.workers import test_local as t
pool = t.ProcessPool(t.specs(t.SLOW))
pool.snapshot()
print(pool.pids[0], flush=True)
pool.broadcast(t.weights())
pool.collect()
"""


def test_workers_end_in_the_middle_of_an_estimate_when_the_learner_is_killed():
    command = [sys.executable, "-c", ORPHAN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as learner:
        worker = int(learner.stdout.readline())
        assert is_running(worker)
        learner.kill()
    assert soon(lambda: not is_running(worker))
