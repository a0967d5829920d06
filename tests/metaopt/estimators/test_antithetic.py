"""Antithetic pairs: their noise, what they share, and the estimate by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
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
    )
    found = antithetic.estimate(noise, losses, stddev=0.5)
    # Each noise times difference / (2 * 0.25), over the two usable pairs.
    np.testing.assert_allclose(found.gradient["w"], [0.5, 0.4], rtol=1e-6)
    np.testing.assert_allclose(found.gradient["b"], 1.0, rtol=1e-6)
    assert (float(found.meta_loss), float(found.weight)) == (2.5, 2.0)
    assert float(found.metrics["nonfinite_runs"]) == 1.0
