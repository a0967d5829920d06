"""What every pool of workers promises: the same bits, the same faults, the same resume."""

import os
import signal

import jax
import numpy as np
import pytest

from metaopt.aggregate import Dropped, Weights
from metaopt.client.models import Workers
from metaopt.estimators import PersistentES, TruncatedBackprop
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.per_parameter_mlp import PerParameterMLP
from metaopt.learner import Learner, meta_train
from metaopt.normalize import LossScale
from metaopt.outer_optimizer import OuterOptimizer
from taskset.errors import InputError
from taskset.families.quadratic import QuadraticFamily
from workers.local import InProcessPool, ProcessPool
from workers.ray_pool import RayPool
from workers.worker import WorkerSpec

OPTIMIZER = PerParameterMLP()  # compiles in half the time
PROBLEM = OptimizerTraining(QuadraticFamily(dim=3), OPTIMIZER)
HORIZON = {"truncation": 2, "horizon": Fixed(6)}
ESTIMATORS = {
    "one": PersistentES(PROBLEM, 2, **HORIZON),
    "two": TruncatedBackprop(PROBLEM, 2, normalization="baseline", **HORIZON),
}
SPECS = [WorkerSpec(i, task, est, seed=5) for i, (task, est) in enumerate(ESTIMATORS.items())]
UNBOUNDED = 10**6

IN_PROCESS = pytest.param("in-process", id="in-process")
REMOTE = [
    pytest.param("process", id="process"),
    pytest.param("ray", id="ray", marks=pytest.mark.ray),
]


def meta_params():
    return jax.device_get(OPTIMIZER.init(jax.random.key(1)))


def open_pool(kind, request):
    if kind == "in-process":
        return InProcessPool(SPECS)
    if kind == "process":
        return ProcessPool(SPECS)
    return RayPool(SPECS, request.getfixturevalue("ray_address"))


@pytest.fixture(scope="module", params=[IN_PROCESS, *REMOTE])
def shared_pool(request):
    with open_pool(request.param, request) as pool:
        yield pool


@pytest.fixture
def pool(shared_pool):
    """A pool whose workers have not begun; compiled programs stay."""
    shared_pool.restore([{}, {}], meta_params())
    return shared_pool


@pytest.fixture(scope="module")
def uninterrupted():
    """Six outer steps in this process."""
    with InProcessPool(SPECS) as pool:
        return train(pool, 6)


def train(pool, num_steps, state=None, stop_at=None, on_step=lambda step: None):
    learner = Learner(OuterOptimizer("sgd"), num_steps)

    def after(step):
        return on_step(step) or step.state.step == stop_at

    return meta_train(learner, state or learner.init(meta_params()), pool, on_step=after)


def same_bits(one, other):
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def test_a_synchronous_run_has_the_same_bits_in_every_pool(pool, uninterrupted):
    state = train(pool, 6)
    assert not same_bits(state.meta_params, meta_params())
    assert same_bits(state.meta_params, uninterrupted.meta_params)


def test_a_restored_run_goes_on_to_the_same_bits(pool, uninterrupted):
    half = train(pool, 6, stop_at=3)
    saved = pool.snapshot()
    train(pool, 6, half)  # what came after must not show
    pool.restore(saved, half.meta_params)
    assert same_bits(train(pool, 6, half).meta_params, uninterrupted.meta_params)
    pool.restore([{}, {}], half.meta_params)
    assert not same_bits(train(pool, 6, half).meta_params, uninterrupted.meta_params)


def test_there_is_one_result_of_each_worker_at_the_weights_last_broadcast(pool):
    pool.broadcast(Weights(3, meta_params(), {}))
    pool.broadcast(Weights(4, meta_params(), {}))
    found = [(result.worker, result.task, result.outer_step) for result in pool.collect()]
    assert found == [(0, "one", 4), (1, "two", 4)]
    assert pool.alive == 2
    assert list(pool.lost()) == []


def test_a_result_depends_on_the_weights(pool):
    results = []
    for weights in (meta_params(), jax.tree.map(np.negative, meta_params())):
        pool.restore([{}, {}], weights)
        pool.broadcast(Weights(0, weights, {}))
        results.append(pool.collect())
    for first, second in zip(*results, strict=True):
        assert not same_bits(first.estimate.gradient, second.estimate.gradient)


def test_results_are_numpy_arrays(pool):
    pool.broadcast(Weights(0, meta_params(), {}))
    for result in pool.collect():
        leaves = jax.tree.leaves(result.estimate)
        assert {(type(leaf), leaf.dtype.name) for leaf in leaves} == {(np.ndarray, "float32")}


def test_a_worker_that_gives_nan_costs_its_own_contribution_only(pool):
    bad = LossScale(np.float32(np.nan), np.float32(0.0))
    estimates, dropped = [], []

    def keep(step):
        estimates.append(step.aggregate.used[0].estimate)
        dropped.append(step.aggregate.dropped)

    for scales in ({}, {"two": bad}):
        pool.restore([{}, {}], meta_params())
        learner = Learner(OuterOptimizer("sgd"), num_steps=1)
        meta_train(learner, learner.init(meta_params(), scales), pool, on_step=keep)
    assert same_bits(*estimates)
    assert dropped == [(), (Dropped("nonfinite", 1, "two", 0),)]


def test_states_that_do_not_fit_are_refused_by_name(pool):
    train(pool, 1)
    first, second = pool.snapshot()
    other_shape = {**first, "state/age": first["state/age"][:1]}
    without = {key: value for key, value in second.items() if key != "state/length"}
    refused = [
        ([first], "saved were the states of 1 workers, and this run has 2"),
        ([other_shape, second], r"worker 0 \(one\).*'state/age' is int32\[1\].*int32\[2\]"),
        ([first, without], r"worker 1 \(two\).*'state/length' is missing"),
        ([second, second], r"worker 0 \(one\).*'state/state/.*"),
    ]
    for snapshots, message in refused:
        with pytest.raises(InputError, match=message):
            pool.restore(snapshots, meta_params())


def test_its_view_counts_what_the_workers_gave(pool):
    before = pool.view()
    train(pool, 2)
    after = pool.view()
    assert [(view.worker, view.task, view.state) for view in after] == [
        (0, "one", "running"),
        (1, "two", "running"),
    ]
    assert [new.results - old.results for old, new in zip(before, after)] == [2, 2]
    assert all(view.pid and not view.lost and not view.failures for view in after)
    Workers.model_validate({"at": None, "workers": [view._asdict() for view in after]})


@pytest.mark.parametrize("kind", REMOTE)
def test_a_killed_worker_is_replaced_and_training_goes_on(kind, request):
    lost, pids = [], []

    def on_step(step):
        lost.extend(step.lost)
        if step.state.step == 2:
            pids.append(pool.pids[0])
            os.kill(pool.pids[0], signal.SIGKILL)
        used = {result.worker for result in step.aggregate.used}
        assert 1 in used
        return bool(lost) and 0 in used

    with open_pool(kind, request) as pool:
        train(pool, UNBOUNDED, on_step=on_step)
        assert lost == [Dropped("lost", 0, "one", 0)]
        assert [view.lost for view in pool.view()] == [{"lost": 1}, {}]
        assert pool.alive == 2
        assert pool.pids[0] != pids[0]
        # The new worker began anew, with the run far beyond its first estimate.
        done = [int(snapshot["num_done"]) for snapshot in pool.snapshot()]
        assert done[0] == 1
        assert done[1] >= 3
