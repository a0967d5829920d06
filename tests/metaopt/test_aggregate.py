"""From results to one estimate: the mean, its order, and what is left out."""

import itertools

import jax
import numpy as np
import pytest

from metaopt.aggregate import Dropped, WorkerResult, aggregate, is_usable, weighted_mean
from metaopt.estimators.base import Estimate

NAN, INF = float("nan"), float("inf")


def estimate(gradient, meta_loss=1.0, weight=1.0, **metrics):
    return Estimate(
        gradient={"a": np.float32(gradient), "b": np.full((2, 3), 2 * gradient, np.float32)},
        meta_loss=np.float32(meta_loss),
        weight=np.float32(weight),
        metrics={name: np.float32(value) for name, value in metrics.items()},
    )


def result(worker, estimate, outer_step=5):
    return WorkerResult(worker, f"task{worker}", outer_step, estimate, seconds=0.1)


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_the_mean_is_weighted_and_weights_and_metrics_add():
    mean = weighted_mean(
        [
            estimate(8.0, meta_loss=2.0, weight=1.0, nonfinite_runs=3.0),
            estimate(-4.0, meta_loss=6.0, weight=3.0, nonfinite_runs=1.0),
        ]
    )
    assert mean.gradient["a"] == 0.25 * 8 - 0.75 * 4
    np.testing.assert_array_equal(mean.gradient["b"], np.full((2, 3), -2.0))
    assert (mean.meta_loss, mean.weight) == (5.0, 4.0)
    assert mean.metrics == {"nonfinite_runs": 4.0}
    assert {np.asarray(leaf).dtype.name for leaf in jax.tree.leaves(mean)} == {"float32"}


def test_one_estimate_is_its_own_mean():
    alone = estimate(0.1, meta_loss=0.3, weight=7.0)
    assert bits(weighted_mean([alone])) == bits(alone)


def test_the_order_of_arrival_does_not_show_in_the_bits():
    rng = np.random.RandomState(0)
    estimates = [
        estimate(0.0, rng.rand(), rng.randint(1, 9))._replace(
            gradient=rng.randn(50).astype(np.float32)
        )
        for _ in range(4)
    ]
    arrived = [result(worker, estimate) for worker, estimate in enumerate(estimates)]
    orders = list(itertools.permutations(arrived))
    found = {tuple(bits(aggregate(order, 5, 0).estimate)) for order in orders}
    assert len(found) == 1
    # Not because these numbers would add up to the same in any order.
    unsorted = {tuple(bits(weighted_mean([r.estimate for r in order]))) for order in orders}
    assert len(unsorted) > 1
    workers = [r.worker for r in aggregate(arrived[::-1], 5, 0).used]
    assert workers == [0, 1, 2, 3]


def test_two_results_of_one_worker_are_in_the_order_of_their_outer_steps():
    newer, older = result(0, estimate(1.0), outer_step=5), result(0, estimate(2.0), outer_step=4)
    assert aggregate([newer, older], 5, 1).used == (older, newer)


@pytest.mark.parametrize(("outer_step", "is_used"), [(2, False), (3, True), (5, True)])
def test_results_older_than_the_limit_are_stale(outer_step, is_used):
    found = aggregate([result(7, estimate(1.0), outer_step)], outer_step=5, max_staleness=2)
    assert len(found.used) == is_used
    assert found.dropped == (() if is_used else (Dropped("stale", 7, "task7", 3),))


@pytest.mark.parametrize(
    "broken",
    [
        estimate(NAN),
        estimate(-INF),
        estimate(1.0, meta_loss=INF),
        estimate(1.0, weight=0.0),
        estimate(1.0)._replace(gradient={"a": np.float32(1), "b": np.array([1, NAN], np.float32)}),
    ],
    ids=["nan", "infinite", "meta-loss", "weight", "one-element"],
)
def test_a_result_that_is_not_finite_or_has_no_weight_is_dropped_alone(broken):
    good = result(0, estimate(3.0))
    found = aggregate([result(1, broken), good], 5, 0)
    assert found.used == (good,)
    assert found.dropped == (Dropped("nonfinite", 1, "task1", 0),)
    assert bits(found.estimate) == bits(good.estimate)
    assert is_usable(good.estimate) and not is_usable(broken)


def test_a_metric_that_is_not_finite_does_no_harm():
    assert is_usable(estimate(1.0, some_ratio=NAN))


def test_all_dropped_are_counted_by_cause_and_there_is_no_estimate():
    late = [result(worker, estimate(NAN), outer_step=1) for worker in (3, 1)]
    found = aggregate([*late, result(2, estimate(NAN))], 5, 0)
    assert found.estimate is None and found.used == ()
    assert [(d.cause, d.worker, d.staleness) for d in found.dropped] == [
        ("stale", 1, 4),
        ("nonfinite", 2, 0),
        ("stale", 3, 4),
    ]


def test_nothing_gives_nothing():
    assert aggregate([], 0, 0) == (None, (), ())


def test_old_results_weigh_less_and_count_as_much():
    results = [result(0, estimate(4.0), outer_step=5), result(1, estimate(1.0), outer_step=3)]
    found = aggregate(results, outer_step=5, max_staleness=2, staleness_decay=0.5).estimate
    np.testing.assert_allclose(found.gradient["a"], (4.0 + 0.25 * 1.0) / 1.25, rtol=1e-6)
    assert found.weight == 2.0
