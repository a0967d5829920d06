"""Initial weights: their distributions, and that padding does not change them."""

import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.networks.dims import Dim
from taskset.networks.initializers import draw_normal, draw_uniform, initializer

KEY = jax.random.key(3)
INPUTS, OUTPUTS = 300, 200
FANS = {"in": INPUTS, "mean": (INPUTS + OUTPUTS) / 2, "none": 1}
TRUNCATION = 0.87962566103423978

# name, parameter: standard deviation, largest absolute value
CASES = {
    ("default", None): (TRUNCATION / math.sqrt(INPUTS), 2 / math.sqrt(INPUTS)),
    ("he_normal", None): (math.sqrt(2 / INPUTS), 2 * math.sqrt(2 / INPUTS) / TRUNCATION),
    ("he_uniform", None): (math.sqrt(2 / INPUTS), math.sqrt(6 / INPUTS)),
    ("glorot_normal", None): (
        math.sqrt(2 / (INPUTS + OUTPUTS)),
        2 * math.sqrt(2 / (INPUTS + OUTPUTS)) / TRUNCATION,
    ),
    ("glorot_uniform", None): (
        math.sqrt(2 / (INPUTS + OUTPUTS)),
        math.sqrt(6 / (INPUTS + OUTPUTS)),
    ),
    ("random_uniform", 0.7): (0.7 / math.sqrt(3), 0.7),
    ("random_normal", 0.7): (0.7, math.inf),
    ("truncated_normal", 0.7): (0.7 * TRUNCATION, 1.4),
    ("variance_scaling", 0.7): (
        math.sqrt(0.7 / INPUTS),
        2 * math.sqrt(0.7 / INPUTS) / TRUNCATION,
    ),
}


@pytest.mark.parametrize(("pair", "expected"), CASES.items(), ids=[name for name, _ in CASES])
def test_weights_have_their_standard_deviation_and_range(pair, expected):
    weights = np.asarray(initializer(*pair)(KEY, Dim(INPUTS), Dim(OUTPUTS)), np.float64)
    stddev, largest = expected
    # The variance of a squared normal number is 2, of truncated and uniform ones less.
    assert abs(weights.var() / stddev**2 - 1) < 4 * math.sqrt(2 / weights.size)
    assert abs(weights.mean()) < 4 * stddev / math.sqrt(weights.size)
    assert np.abs(weights).max() <= largest * (1 + 1e-6)


def test_kernels_count_their_window_as_inputs():
    kernel = initializer("he_uniform", None)(KEY, Dim(3), Dim(3), Dim(40), Dim(50))
    assert kernel.shape == (3, 3, 40, 50)
    limit = math.sqrt(6 / (9 * 40))
    assert 0.99 * limit < float(jnp.abs(kernel).max()) <= limit * (1 + 1e-6)


def test_released_truncated_normal_is_not_truncated():
    weights = initializer("truncated_normal", 0.7, "released")(KEY, Dim(INPUTS), Dim(OUTPUTS))
    assert float(jnp.abs(weights).max()) > 4 * 0.7


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6)])
@pytest.mark.parametrize("padded", [8, 12])
def test_orthogonal_matrices_are_so_with_and_without_padding(shape, padded):
    make = initializer("orthogonal", 2.0)
    exact = make(KEY, *map(Dim, shape))
    product = exact.T @ exact if shape[0] >= shape[1] else exact @ exact.T
    np.testing.assert_allclose(product, 4 * np.eye(min(shape)), atol=1e-5)
    dims = (Dim(padded, np.int32(shape[0])), Dim(8, np.int32(shape[1])))
    whole = make(KEY, *dims)
    np.testing.assert_allclose(whole[: shape[0], : shape[1]], exact, atol=1e-5)
    assert not np.any(whole[shape[0] :]) and not np.any(whole[:, shape[1] :])


@pytest.mark.parametrize("name", ["default", "glorot_uniform", "random_normal", "he_normal"])
def test_padding_does_not_change_the_real_weights(name):
    exact = initializer(name, 0.5)(KEY, Dim(3), Dim(9), Dim(4))
    padded = initializer(name, 0.5)(KEY, Dim(3), Dim(16, np.int32(9)), Dim(8, np.int32(4)))
    np.testing.assert_allclose(padded[:, :9, :4], exact, rtol=1e-6)
    assert not np.any(padded[:, 9:]) and not np.any(padded[:, :, 4:])


def test_draws_of_a_larger_shape_begin_with_those_of_a_smaller_one():
    for draw in (draw_uniform, draw_normal):
        small, large = draw(KEY, (3, 4)), draw(KEY, (5, 9))
        np.testing.assert_array_equal(large[:3, :4], small)
        assert len(np.unique(large)) == 45


def test_normal_draws_are_standard():
    numbers = np.asarray(draw_normal(KEY, (100, 200)), np.float64)
    assert abs(numbers.mean()) < 4 / math.sqrt(numbers.size)
    assert abs(numbers.var() - 1) < 4 * math.sqrt(2 / numbers.size)
    assert abs((numbers**4).mean() - 3) < 4 * math.sqrt(96 / numbers.size)


# As many steps of a program as the machine has threads, each a QR of several matrices.
MANY_AT_ONCE = """
import jax, jax.numpy as jnp
from taskset.networks.initializers import q_factor
normal = jax.random.normal(jax.random.key(0), (8, 4, 128, 128))
factor = jax.jit(lambda stacks: [jax.vmap(q_factor)(stack) for stack in stacks])
for _ in range(50):
    found = jax.block_until_ready(factor(list(normal)))
print(max(float(jnp.max(jnp.abs(jnp.matrix_transpose(q) @ q - jnp.eye(128)))) for q in found))
"""


def test_many_at_once_do_not_wait_for_one_another():
    command = [sys.executable, "-c", MANY_AT_ONCE]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert float(ended.stdout) < 1e-5
