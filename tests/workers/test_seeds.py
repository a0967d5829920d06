"""Gradients that are made again from seeds are those that workers had."""

import dataclasses

import jax
import numpy as np
import pytest

from metaopt.aggregate import Weights
from metaopt.estimators import FullES, TruncatedES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.per_parameter_mlp import PerParameterMLP
from taskset.families.quadratic import QuadraticFamily
from workers import seeds, wire
from workers.local import ProcessPool
from workers.worker import WorkerSpec

OPTIMIZER = PerParameterMLP()
PROBLEM = OptimizerTraining(QuadraticFamily(dim=2), OPTIMIZER)
ESTIMATORS = {
    "TruncatedES": TruncatedES(PROBLEM, 3, 2, Fixed(4), perturbations="orthogonal"),
    "FullES": FullES(PROBLEM, 3, Fixed(4), normalization="rank"),
}
WEIGHTS = Weights(3, jax.device_get(OPTIMIZER.init(jax.random.key(0))), {})


def assert_close(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-6 * np.max(np.abs(y)))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_a_gradient_comes_back_from_its_seeds(kind):
    spec = WorkerSpec(1, "quadratic", ESTIMATORS[kind], seed=5, wire="seeds")
    worker = spec.build()
    for _ in range(3):  # the runs of the last are in their second truncation
        result = worker.compute(WEIGHTS)
    short = wire.pack(seeds.shortened(result, "seeds"))
    assert short.vector.size < 20
    back = seeds.expanded(wire.unpack(short), spec, WEIGHTS.meta_params)
    assert_close(back.estimate.gradient, result.estimate.gradient)
    assert back._replace(estimate=None) == result._replace(estimate=None)


def test_a_run_that_is_not_finite_has_no_weight():
    bad = dataclasses.replace(PROBLEM.optimizer, step_multiplier=np.inf)
    problem = OptimizerTraining(QuadraticFamily(dim=2), bad)
    spec = WorkerSpec(0, "bad", TruncatedES(problem, 2, 2, Fixed(4)), seed=0, wire="seeds")
    result = spec.build().compute(WEIGHTS)
    np.testing.assert_array_equal(result.estimate.pair_weights, np.zeros(2))


@pytest.mark.slow
def test_a_pool_gives_the_same_gradients_either_way():
    found = []
    for kind in ("vector", "seeds"):
        spec = WorkerSpec(0, "quadratic", ESTIMATORS["TruncatedES"], seed=5, wire=kind)
        with ProcessPool([spec]) as pool:
            pool.broadcast(WEIGHTS)
            pool.collect()
            (result,) = pool.collect()
            found.append(result.estimate)
    assert found[0].pair_weights is None
    assert_close(found[1].gradient, found[0].gradient)
