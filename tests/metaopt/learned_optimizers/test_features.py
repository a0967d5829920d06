"""What learned optimizers look at, by its formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.learned_optimizers.features import (
    factored_axes,
    inverse_rms,
    offset_decays,
    time_features,
)


def test_time_features_are_tanh_of_time_in_eleven_units():
    found = time_features(jnp.int32(30))
    np.testing.assert_allclose(found[:4], np.tanh([29.0, 9.0, 2.0, 0.0]), rtol=1e-6)
    assert found.shape == (11,) and found.dtype == jnp.float32


@pytest.mark.parametrize(("step", "expected"), [(0, np.tanh(-1.0)), (2**31 - 1, 1.0)])
def test_time_features_at_the_ends_of_time(step, expected):
    np.testing.assert_allclose(time_features(jnp.int32(step)), np.full(11, expected), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-2, 1.0, 1e8])
def test_scaling_by_the_inverse_rms_gives_a_mean_square_of_one(size):
    x = size * jax.random.normal(jax.random.key(0), (50, 3))
    expected = np.mean(np.square(x, dtype=np.float64)) ** 0.5
    found = float(inverse_rms(x))
    assert found == pytest.approx(1 / np.sqrt(expected**2 + 1e-5), rel=1e-5)
    if size >= 1:
        assert float(jnp.mean(jnp.square(x * found))) == pytest.approx(1.0, abs=1e-4)


def test_a_tensor_of_zeros_stays_zero_when_scaled():
    zeros = jnp.zeros((4, 2))
    np.testing.assert_array_equal(zeros * inverse_rms(zeros), zeros)
    assert jnp.all(jnp.isfinite(jax.grad(inverse_rms)(zeros)))


def test_decays_start_at_their_defaults():
    np.testing.assert_allclose(offset_decays((0.9, 0.999), jnp.zeros(2)), [0.9, 0.999], rtol=1e-6)


def test_an_offset_moves_the_logarithm_of_what_is_forgotten():
    """By a factor of e for each 0.1, whatever the decay."""
    forgotten = 1 - offset_decays((0.9, 0.99), jnp.full(2, 0.1))
    np.testing.assert_allclose(forgotten, np.e * np.asarray([0.1, 0.01]), rtol=1e-4)


def test_factored_axes_are_the_two_largest():
    assert factored_axes((7,)) is None and factored_axes(()) is None
    assert factored_axes((3, 2, 6)) == (0, 2)
    assert factored_axes((9, 4)) == (1, 0)


def test_of_axes_of_one_size_the_last_are_factored():
    assert factored_axes((4, 4)) == (0, 1)
    assert factored_axes((2, 5, 5, 5)) == (2, 3)
