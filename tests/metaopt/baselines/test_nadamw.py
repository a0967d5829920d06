"""NAdamW's learning rate: warm-up, constant, half a cosine, and what remains."""

import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.baselines.nadamw import learning_rate

NUM_STEPS, PEAK = 1000, 0.5


def rates(steps, warmup=0.0, constant=0.0, least=0.0):
    values = {
        "learning_rate": PEAK,
        "warmup_fraction": warmup,
        "constant_fraction": constant,
        "min_learning_rate_mult": least,
    }
    arrays = {name: jnp.float32(value) for name, value in values.items()}
    return learning_rate(arrays, jnp.asarray(steps, jnp.int32), NUM_STEPS) / PEAK


def test_warmup_rises_from_nothing_to_the_peak():
    np.testing.assert_allclose(
        rates([0, 1, 50, 99, 100, 400], warmup=0.1, constant=0.4),
        [0.0, 0.01, 0.5, 0.99, 1.0, 1.0],
        rtol=1e-6,
    )


def test_without_warmup_the_peak_comes_first():
    np.testing.assert_array_equal(rates([0, 1, 400], constant=0.4), [1.0, 1.0, 1.0])


def test_warmup_ends_with_the_constant_phase():
    found = rates([0, 10, 19, 20], warmup=0.1, constant=0.02)
    np.testing.assert_allclose(found, [0.0, 0.5, 0.95, 1.0], rtol=1e-5)
    assert rates(0, warmup=0.1, constant=0.0) == 1.0


@pytest.mark.parametrize("least", [0.0, 0.2])
def test_the_rest_is_half_a_cosine(least):
    found = rates([400, 550, 700, 850, 999, 1000, 1001, 5000], constant=0.4, least=least)
    cosine = np.asarray([1.0, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4, 6.853857e-6, 0, 0, 0])
    np.testing.assert_allclose(found, least + (1 - least) * cosine, rtol=1e-4, atol=1e-12)


def test_a_constant_rate():
    np.testing.assert_array_equal(rates([0, 500, 1000, 2000], constant=1.0), np.ones(4))


@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.1])
@pytest.mark.parametrize("constant", [0.01, 0.05, 0.5])
def test_the_rate_never_jumps(warmup, constant):
    found = np.asarray(rates(np.arange(1002), warmup, constant))
    longest_step = 1 / (NUM_STEPS * min(warmup, constant)) if warmup else 0.0
    assert np.max(np.abs(np.diff(found))) <= max(longest_step, np.pi / 2 / 500) * (1 + 1e-4)
    assert np.max(found) == 1.0
