"""Antithetic pairs: their noise, what they share, and the estimate by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import Line

from metaopt.estimators import antithetic
from metaopt.normalize import LossScale
from taskset.base import NoData

KEY = jax.random.key(0)
TREE = {"w": jnp.ones((300, 100)), "b": jnp.zeros(300), "h": jnp.ones(5, jnp.bfloat16)}
SCALE = LossScale(np.float32(3.0), np.float32(1.0))


def test_noise_is_normal_and_independent_of_leaf_to_leaf():
    noise = antithetic.normal_like(KEY, TREE, 0.1)
    types = lambda tree: jax.tree.map(lambda x: (x.shape, x.dtype), tree)
    assert types(noise) == types(TREE)
    draws = np.asarray(noise["w"], np.float64).ravel() / 0.1
    num = draws.size
    assert abs(draws.mean()) < 4 / np.sqrt(num)
    assert abs(draws.var() - 1) < 4 * np.sqrt(2 / num)
    same_shape = antithetic.normal_like(KEY, [TREE["b"], TREE["b"]], 0.1)
    assert not np.array_equal(*same_shape)


def test_noise_of_a_scalar_and_of_nothing():
    assert antithetic.normal_like(KEY, jnp.float32(0.0), 0.1).shape == ()
    assert antithetic.normal_like(KEY, {"a": jnp.zeros((0, 2))}, 0.1)["a"].shape == (0, 2)


def test_a_pair_is_the_meta_params_plus_and_minus_the_noise():
    pair = antithetic.as_pair({"a": jnp.asarray([1.0, 2.0])}, {"a": jnp.asarray([0.5, -0.25])})
    np.testing.assert_array_equal(pair["a"], [[1.5, 1.75], [0.5, 2.25]])
    doubled = antithetic.doubled({"a": jnp.asarray([1, 2])})
    np.testing.assert_array_equal(doubled["a"], [[1, 2], [1, 2]])


@dataclasses.dataclass(frozen=True)
class Noisy(Line):
    """A line whose losses have noise on top, by the key of the step."""

    def step(self, meta_params, state, data, key):
        return state + meta_params, state + jax.random.normal(key)


def test_both_signs_see_the_same_randomness():
    pair = antithetic.as_pair(jnp.float32(1.0), jnp.float32(0.5))
    states, losses = antithetic.unroll_pair(Noisy(), pair, jnp.zeros(2), NoData(), KEY, 4)
    np.testing.assert_allclose(losses[0] - losses[1], np.arange(4.0), atol=1e-5)
    assert len(np.unique(np.round(np.asarray(losses[0]) - 1.5 * np.arange(4), 3))) == 4
    np.testing.assert_array_equal(states, [6.0, 2.0])


LOSSES = jnp.asarray([[2.0, 4.0, jnp.nan], [1.0, 2.0, 3.0]])
WITHIN = jnp.asarray([True, True, False])


def test_the_losses_of_a_pair_are_means_over_the_steps_within():
    found = antithetic.pair_loss(LOSSES, WITHIN, "none", SCALE)
    assert (float(found.mean), float(found.difference), bool(found.usable)) == (2.25, 1.5, True)
    assert not antithetic.pair_loss(LOSSES, jnp.ones(3, bool), "none", SCALE).usable


def test_normalization_enters_the_difference_and_not_the_mean():
    """After the mean over steps, 8 and 2: clipped to 2 and 0.5 of the way."""
    losses = jnp.asarray([[1.0, 15.0, jnp.nan], [1.0, 3.0, 3.0]])
    find = lambda kind: antithetic.pair_loss(losses, WITHIN, kind, SCALE)
    assert {float(find(kind).mean) for kind in ("none", "baseline", "log", "sign")} == {5.0}
    assert float(find("baseline").difference) == 1.5
    assert float(find("sign").difference) == 1.0
    np.testing.assert_allclose(find("log").difference, np.log(4.0), rtol=1e-6)


def test_the_estimate_by_hand_leaves_out_what_is_not_usable():
    noise = {"w": jnp.asarray([[0.1, 0.2], [jnp.nan, 9.0], [-0.3, 0.0]]), "b": jnp.ones(3)}
    losses = antithetic.PairLoss(
        mean=jnp.asarray([1.0, jnp.inf, 4.0]),
        difference=jnp.asarray([2.0, jnp.nan, -1.0]),
        usable=jnp.asarray([True, False, True]),
        objective=jnp.zeros(3),
    )
    found = antithetic.estimate(noise, losses, stddev=0.5)
    # Each noise times difference / (2 * 0.25), over the two usable pairs.
    np.testing.assert_allclose(found.gradient["w"], [0.5, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found.gradient["b"], 1.0, rtol=1e-6)
    assert (float(found.meta_loss), float(found.weight)) == (2.5, 2.0)
    assert float(found.metrics["nonfinite_runs"]) == 1.0


def test_the_estimate_of_ranks_by_hand():
    losses = antithetic.PairLoss(
        mean=jnp.zeros(3),
        difference=jnp.asarray([2.0, jnp.nan, -900.0]),
        usable=jnp.asarray([True, False, True]),
        objective=jnp.zeros(3),
    )
    found = antithetic.estimate(jnp.asarray([0.1, 0.2, 0.3]), losses, 0.5, "rank")
    # (0.1 * 1/2 - 0.3 * 2/2) / (2 * 0.25), over the two usable pairs.
    np.testing.assert_allclose(found.gradient, -0.25, rtol=1e-6)


@pytest.mark.parametrize("num_tasks", [3, 5, 13])
def test_orthogonal_perturbations_are_orthogonal_in_groups(num_tasks):
    """Of 5 meta-parameters, in a matrix and a vector."""
    tree = {"w": jnp.ones((2, 2)), "b": jnp.zeros(1)}
    keys = jax.random.split(KEY, num_tasks)
    flat = lambda noise: np.concatenate([noise["b"], noise["w"].reshape(num_tasks, 4)], axis=1)
    found = flat(antithetic.draw(keys, tree, 0.1, "orthogonal"))
    plain = flat(antithetic.draw(keys, tree, 0.1, "independent"))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(plain, axis=1), 1e-5)
    for group in range(0, num_tasks, 5):
        products = found[group : group + 5] @ found[group : group + 5].T
        np.testing.assert_allclose(products, np.diag(np.diag(products)), atol=1e-6)


def test_an_orthogonal_perturbation_by_itself_is_normal():
    draw = jax.vmap(
        lambda key: antithetic.draw(jax.random.split(key, 3), jnp.zeros(3), 1.0, "orthogonal")
    )
    num = 20_000
    samples = np.asarray(jax.jit(draw)(jax.random.split(KEY, num)), np.float64)
    for task in range(3):
        covariance = samples[:, task].T @ samples[:, task] / num
        np.testing.assert_allclose(covariance, np.eye(3), atol=4 * np.sqrt(2 / num))
        assert np.all(np.abs(samples[:, task].mean(0)) < 4 / np.sqrt(num))
        assert np.all(np.abs(np.mean(samples[:, task] ** 4, axis=0) - 3) < 4 * np.sqrt(96 / num))


def test_orthogonal_perturbations_have_less_variance():
    """Of the gradient of a linear function of 8 meta-parameters: that of 8 pairs is exact."""
    gradient = jnp.arange(1.0, 9.0)

    def estimate(key, kind):
        noise = antithetic.draw(jax.random.split(key, 8), gradient, 0.1, kind)
        return jnp.mean(noise * (noise @ gradient)[:, None], axis=0) / 0.01

    keys = jax.random.split(KEY, 2000)
    variance = {
        kind: float(jnp.var(jax.vmap(lambda key: estimate(key, kind))(keys), axis=0).sum())
        for kind in ("independent", "orthogonal")
    }
    assert variance["orthogonal"] < 0.5 * variance["independent"]
