"""Streams of tasks: which ones, in which order, and what a worker makes of them."""

import dataclasses
import time

import jax
import numpy as np
import pytest

from metaopt.aggregate import Weights
from metaopt.estimators import PersistentES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import FactoredMLP
from taskset.families.quadratic import QuadraticFamily
from taskset.mixture import Mixture
from workers.assignment import TaskStream
from workers.compile_clock import CompileClock
from workers.worker import WorkerSpec

PROBLEM = OptimizerTraining(QuadraticFamily(), FactoredMLP())
ESTIMATOR = PersistentES(PROBLEM, 2, 2, Fixed(4))
MIXTURE = Mixture(("quadratic:dim=2", "quadratic:dim=3", "quadratic:dim=4"))
STREAM = TaskStream(MIXTURE, ESTIMATOR, PROBLEM, estimates_per_task=2, seed=1)
SPEC = WorkerSpec(0, "mixture", ESTIMATOR, seed=1, stream=STREAM)
WEIGHTS = Weights(0, FactoredMLP().init(jax.random.key(0)), {})


def test_a_task_is_kept_for_its_estimates_and_then_another_is_drawn():
    assigned = [STREAM.at(0, done) for done in range(40)]
    for first, second in zip(assigned[::2], assigned[1::2]):
        assert first.task == second.task
        assert (first.begins, second.begins) == (True, False)
        assert first.estimator == second.estimator
    assert {a.task for a in assigned} == set(MIXTURE.components)
    assert all(f"dim={a.estimator.problem.family.dim}" in a.task for a in assigned)


def test_workers_draw_tasks_of_their_own():
    rounds = [[STREAM.at(worker, 2 * i).task for i in range(30)] for worker in range(2)]
    assert rounds[0] != rounds[1]
    other = dataclasses.replace(STREAM, seed=2)
    assert rounds[0] != [other.at(0, 2 * i).task for i in range(30)]


def test_a_worker_can_keep_to_a_family_and_draws_each_as_often():
    mixture = Mixture(("mlp_family*3", "mlp_ae_family"))
    stream = dataclasses.replace(STREAM, mixture=mixture, tasks_per_family=4)
    rounds = [stream.task(0, i) for i in range(100)]
    blocks = [{task.partition("_seed")[0] for task in rounds[i : i + 4]} for i in range(0, 100, 4)]
    assert all(len(families) == 1 for families in blocks)
    assert set.union(*blocks) == {"mlp_family", "mlp_ae_family"}
    assert len(set(rounds)) > 70
    alone = dataclasses.replace(stream, tasks_per_family=1)
    assert [alone.task(0, i) for i in range(0, 100, 4)] == rounds[::4]


def test_a_worker_trains_what_is_assigned_and_goes_on_from_a_snapshot():
    worker = SPEC.build()
    results = [worker.compute(WEIGHTS) for _ in range(5)]
    assert [result.task for result in results] == [STREAM.at(0, i).task for i in range(5)]
    assert all(np.isfinite(result.estimate.meta_loss) for result in results)
    for done in (1, 2, 3):  # in a task, and between two
        worker, copy = SPEC.build(), SPEC.build()
        for _ in range(done):
            worker.compute(WEIGHTS)
        copy.restore(worker.snapshot(), WEIGHTS.meta_params)
        following = [w.compute(WEIGHTS).estimate.gradient for w in (worker, copy)]
        for x, y in zip(*map(jax.tree.leaves, following)):
            np.testing.assert_array_equal(x, y)


def test_compiling_is_reported_and_shared_programs_are_not_compiled_again():
    jax.clear_caches()
    worker = dataclasses.replace(SPEC, index=3).build()
    by_task: dict[str, list[float]] = {}
    for _ in range(20):
        result = worker.compute(WEIGHTS)
        assert 0 <= result.compile_seconds <= result.seconds
        by_task.setdefault(result.task, []).append(result.compile_seconds)
    for seconds in by_task.values():
        assert seconds[0] > 0
        assert sum(seconds[1:]) == 0


def test_nested_reports_count_once():
    clock = CompileClock()
    began = time.monotonic()
    clock.report("/jax/core/compile/backend_compile_duration", 1e-4)
    time.sleep(0.001)
    clock.report("/jax/core/compile/inner", 1e-4)
    clock.report("/jax/core/compile/outer", time.monotonic() - began + 1e-3)
    clock.report("/jax/other", 5.0)
    assert clock.seconds == pytest.approx(time.monotonic() - began + 1e-3, abs=1e-3)
