"""A worker: what its random numbers depend on, and what it takes over."""

import dataclasses

import jax
import numpy as np

from metaopt.aggregate import Weights
from metaopt.estimators import PersistentES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.per_parameter_mlp import PerParameterMLP
from taskset.families.quadratic import QuadraticFamily
from workers import worker
from workers.worker import WorkerSpec

OPTIMIZER = PerParameterMLP()  # compiles in half the time
PROBLEM = OptimizerTraining(QuadraticFamily(dim=2), OPTIMIZER)
SPEC = WorkerSpec(0, "quadratic", PersistentES(PROBLEM, 2, 2, Fixed(40)), seed=0)


def weights(outer_step=0):
    return Weights(outer_step, OPTIMIZER.init(jax.random.key(1)), {})


def gradient(spec=SPEC, outer_step=0, num_done=0):
    built = spec.build()
    for _ in range(num_done):
        built.compute(weights(outer_step))
    found = built.compute(weights(outer_step)).estimate.gradient
    return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(found)]).tobytes()


def test_random_numbers_come_from_seed_outer_step_worker_and_estimates_done():
    found = [
        gradient(),
        gradient(dataclasses.replace(SPEC, seed=1)),
        gradient(dataclasses.replace(SPEC, index=1)),
        gradient(outer_step=1),
        gradient(num_done=1),
    ]
    assert len(set(found)) == len(found)
    assert gradient() == found[0]


def test_a_worker_that_starts_anew_is_at_another_place_in_the_horizon():
    ages = set()
    for outer_step in range(8):
        built = SPEC.build()
        built.compute(weights(outer_step))
        ages.add(tuple(built.snapshot()["state/age"].tolist()))
    assert len(ages) > 3  # of ten phases


def test_a_restored_worker_shares_no_memory_with_the_snapshot_and_compiles_nothing():
    built = SPEC.build()
    built.compute(weights())
    snapshot = built.snapshot()
    before = {path: array.tobytes() for path, array in snapshot.items()}
    programs = worker.programs(SPEC.estimator)
    compiled = [program._cache_size() for program in programs]
    other = SPEC.build()
    other.restore(snapshot, weights().meta_params)
    for _ in range(2):
        other.compute(weights(1))
    assert {path: array.tobytes() for path, array in snapshot.items()} == before
    assert [program._cache_size() for program in programs] == compiled
    assert int(other.snapshot()["num_done"]) == 3


def test_a_worker_that_has_not_begun_restores_to_the_same():
    first, second = SPEC.build(), SPEC.build()
    second.compute(weights())
    second.restore(first.snapshot(), weights().meta_params)
    results = [each.compute(weights()).estimate.gradient for each in (first, second)]
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_task_without_a_loss_scale_is_not_scaled():
    built = SPEC.build()
    with_other = weights()._replace(loss_scales={"another": worker.LossScale()})
    found = built.compute(with_other)
    assert (found.worker, found.task, found.outer_step) == (0, "quadratic", 0)
    assert found.seconds > 0.0


def test_a_specification_is_small_to_send():
    import pickle

    assert len(pickle.dumps(SPEC)) < 1500
    assert pickle.loads(pickle.dumps(SPEC)) == SPEC


def test_a_snapshot_is_numpy_arrays_by_readable_paths():
    built = SPEC.build()
    assert built.snapshot() == {"num_done": 0}
    built.compute(weights())
    snapshot = built.snapshot()
    assert {type(array) for array in snapshot.values()} == {np.ndarray}
    assert {"num_done", "state/age", "state/length", "state/state/states/params"} < snapshot.keys()
