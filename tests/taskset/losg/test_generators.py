"""What random matrices, data sets and rotations are like."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.losg.generators import (
    LinearSystem,
    NoisyParity,
    RandomMLP,
    RandomRows,
    RandomSymmetric,
)
from taskset.losg.random_rotation import factored_product, reflected_product
from taskset.networks.dims import Dim

KEY = jax.random.key(0)
draw = jax.jit(lambda generator, key: generator.draw(key))
PADDED = [
    (LinearSystem(Dim(5)), LinearSystem(Dim(8, np.int32(5)))),
    (NoisyParity(Dim(7)), NoisyParity(Dim(16, np.int32(7)))),
    (RandomMLP(Dim(7), Dim(3)), RandomMLP(Dim(16, np.int32(7)), Dim(8, np.int32(3)))),
    (RandomRows(Dim(7), Dim(3)), RandomRows(Dim(16, np.int32(7)), Dim(8, np.int32(3)))),
    (RandomSymmetric(Dim(6), Dim(3)), RandomSymmetric(Dim(16, np.int32(6)), Dim(8, np.int32(3)))),
]


@pytest.mark.parametrize(("exact", "padded"), PADDED, ids=lambda x: type(x).__name__)
def test_padding_leaves_the_values_as_they_are(exact, padded):
    own, larger = draw(exact, KEY), draw(padded, KEY)
    for name, array in own.items():
        leading = larger[name][tuple(slice(size) for size in array.shape)]
        np.testing.assert_allclose(leading, array, rtol=1e-6)
    batches = [
        generator.dataset(arrays).sample("train", KEY, 9)
        for generator, arrays in ((exact, own), (padded, larger))
    ]
    for name, array in batches[0].items():
        leading = batches[1][name][tuple(slice(size) for size in array.shape)]
        np.testing.assert_allclose(leading, array, rtol=1e-6)


def test_noisy_parity_is_parity_three_times_of_four():
    arrays = jax.tree.map(np.asarray, draw(NoisyParity(Dim(4000)), KEY))
    right = np.sum(arrays["ids"], axis=1) % 2 == arrays["label"]
    assert abs(right.mean() - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)
    assert abs(np.mean(arrays["ids"]) - 0.5) < 4 * np.sqrt(0.25 / arrays["ids"].size)


def test_labels_of_a_random_network_of_one_feature_depend_on_its_sign_alone():
    sides = set()
    for seed in range(20):
        arrays = draw(RandomMLP(Dim(40), Dim(1)), jax.random.key(seed))
        positive, label = np.asarray(arrays["rows"])[:, 0] > 0, np.asarray(arrays["label"])
        assert len(set(label[positive])) == len(set(label[~positive])) == 1
        sides.add((label[positive][0], label[~positive][0]))
    assert len(sides) > 1  # relus are homogeneous, and which side is positive is random


def test_symmetric_rows_come_with_their_negatives():
    rows = np.asarray(draw(RandomSymmetric(Dim(2000), Dim(3)), KEY)["rows"])
    np.testing.assert_array_equal(rows[0::2], -rows[1::2])
    half = rows[0::2]
    assert abs(half.mean()) < 4 / np.sqrt(half.size)
    assert abs(half.var() - 1) < 4 * np.sqrt(2 / half.size)


def test_all_splits_are_one_stream():
    generator = RandomRows(Dim(50), Dim(2))
    data = generator.dataset(draw(generator, KEY))
    batches = [data.sample(split, KEY, 4)["rows"] for split in SPLITS]
    for batch in batches[1:]:
        np.testing.assert_array_equal(batch, batches[0])
    assert data.whole("test")["rows"].shape == (50, 2)


@pytest.mark.parametrize("product", [reflected_product, factored_product])
def test_products_are_with_a_symmetric_matrix_of_the_eigenvalues(product):
    product = jax.jit(product)
    eigenvalues = jnp.asarray([0.5, 2.0, 3.0, 7.0])
    matrix = jax.vmap(lambda x: product(KEY, eigenvalues, x, Dim(4)), out_axes=1)(jnp.eye(4))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-5)
    np.testing.assert_allclose(np.linalg.eigvalsh(matrix), eigenvalues, rtol=1e-5)
    larger = product(KEY, jnp.pad(eigenvalues, (0, 3)), jnp.ones(7), Dim(7, np.int32(4)))
    np.testing.assert_allclose(larger[:4], matrix @ jnp.ones(4), rtol=1e-4)
    np.testing.assert_array_equal(larger[4:], 0.0)


def test_axes_by_reflections_are_uniform():
    """The moments of the quadratic form of a fixed vector, for axes uniform on the sphere."""
    eigenvalues, number = jnp.asarray([1.0, 4.0, 10.0]), 4000
    x = jnp.asarray([1.0, 0.0, 0.0])
    form = lambda key: jnp.sum(x * reflected_product(key, eigenvalues, x, Dim(3)))
    forms = np.asarray(jax.vmap(form)(jax.random.split(KEY, number)))
    mean = 15 / 3
    second = (15**2 + 2 * (1 + 16 + 100)) / (3 * 5)
    assert abs(forms.mean() - mean) < 4 * np.sqrt((second - mean**2) / number)
    assert abs((forms**2).mean() - second) < 4 * (forms**2).std() / np.sqrt(number)
