"""What each kind of normalization makes of losses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.normalize import LossScale, difference, normalize, shape

SCALE = LossScale(np.float32(2.5), np.float32(0.5))
LOSSES = jnp.asarray([[2.5, 0.5, 1.5], [0.0, 4.5, 100.0]])


def test_baseline_puts_the_initial_loss_at_1_and_the_best_at_0():
    found = normalize(LOSSES, "baseline", SCALE)
    np.testing.assert_array_equal(found, [[1.0, 0.0, 0.5], [-0.25, 2.0, 2.0]])


def test_baseline_is_clipped_below_too():
    assert normalize(jnp.float32(-100.0), "baseline", SCALE) == -2.0


def test_a_task_without_a_scale_is_left_alone_within_the_clip():
    np.testing.assert_array_equal(
        normalize(LOSSES, "baseline", LossScale()), jnp.minimum(LOSSES, 2.0)
    )


def test_log_is_finite_at_zero_and_below():
    found = normalize(jnp.asarray([np.e, 1.0, 0.0, -1.0]), "log", SCALE)
    np.testing.assert_allclose(found, [1.0, 0.0, np.log(1e-8), np.log(1e-8)], rtol=1e-6)


@pytest.mark.parametrize("kind", ["none", "sign"])
def test_the_others_take_losses_as_they_are(kind):
    np.testing.assert_array_equal(normalize(LOSSES, kind, SCALE), LOSSES)


@pytest.mark.parametrize("kind", ["none", "baseline", "log", "sign"])
def test_a_loss_that_is_not_a_number_stays_one(kind):
    assert jnp.isnan(normalize(jnp.float32(jnp.nan), kind, SCALE))


@pytest.mark.parametrize(("kind", "expected"), [("none", 1.0), ("baseline", 0.5), ("log", 0.8)])
def test_the_derivative(kind, expected):
    slope = jax.grad(lambda loss: normalize(loss, kind, SCALE))(jnp.float32(1.25))
    assert slope == pytest.approx(expected)


def test_the_sign_of_a_difference():
    positive, negative = jnp.asarray([3.0, 1.0, 2.0]), jnp.asarray([1.0, 3.5, 2.0])
    np.testing.assert_array_equal(difference(positive, negative, "sign"), [1.0, -1.0, 0.0])
    np.testing.assert_array_equal(difference(positive, negative, "none"), [2.0, -2.5, 0.0])


def test_ranks_are_of_usable_pairs_and_keep_their_signs():
    differences = jnp.asarray([0.5, -3.0, jnp.nan, 0.0, 7.0])
    usable = jnp.asarray([True, True, False, True, True])
    found = shape(differences, usable, "rank")
    np.testing.assert_array_equal(found[usable], [0.5, -0.75, 0.0, 1.0])
    np.testing.assert_array_equal(shape(differences, usable, "none"), differences)


def test_ranks_do_not_change_with_the_scale_of_losses():
    differences = jax.random.normal(jax.random.key(0), (20,))
    usable = jnp.ones(20, bool)
    found = shape(differences, usable, "rank")
    np.testing.assert_array_equal(found, shape(1e6 * differences, usable, "rank"))
    np.testing.assert_allclose(jnp.sort(jnp.abs(found)), np.arange(1, 21) / 20, rtol=1e-6)
