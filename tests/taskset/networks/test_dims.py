"""Padding: what it hides, what it counts, and when it costs nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

from taskset.errors import InputError
from taskset.networks.choices import Choice
from taskset.networks.dims import Dim, padded_size

FULL, PADDED = Dim(3), Dim(5, np.int32(3))
ROWS = jnp.asarray([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [70.0, 80.0], [90.0, jnp.inf]])


def test_sums_and_means_are_those_of_the_real_entries():
    np.testing.assert_array_equal(PADDED.mean(ROWS), FULL.mean(ROWS[:3]))
    np.testing.assert_array_equal(PADDED.sum(ROWS), jnp.sum(ROWS[:3], axis=0))
    np.testing.assert_array_equal(PADDED.clear(ROWS, 0)[3:], 0)
    assert float(PADDED.examples(ROWS)) == float(FULL.examples(ROWS[:3])) == 3


def test_a_smaller_batch_counts_what_it_has():
    np.testing.assert_array_equal(PADDED.mean(ROWS[:2]), jnp.mean(ROWS[:2], axis=0))
    np.testing.assert_array_equal(PADDED.mean(ROWS[:4]), jnp.mean(ROWS[:3], axis=0))
    assert float(FULL.examples(ROWS)) == 5  # without padding, any batch is real


def test_without_padding_nothing_is_done():
    assert FULL.mask() is None
    assert FULL.clear(ROWS[:3], 0) is not None
    assert FULL.clear(ROWS, 0) is ROWS


def test_sizes_are_rounded_up_to_those_of_a_bucket():
    assert [padded_size(n, (4, 16)) for n in (1, 4, 5, 16)] == [4, 4, 16, 16]
    with pytest.raises(InputError, match="size 17 is above 16, the largest of the buckets"):
        padded_size(17, (4, 16))


def test_a_fixed_choice_computes_one_variant_and_an_input_picks():
    computed = []

    def variant(name, value):
        def compute():
            computed.append(name)
            return jnp.asarray(value)

        return compute

    variants = {"a": variant("a", 1.0), "b": variant("b", 2.0), "c": variant("c", 3.0)}
    assert float(Choice(("b",)).pick(variants)) == 2
    assert computed == ["b"]
    names = ("a", "b", "c")
    assert [float(Choice(names, np.int32(i)).pick(variants)) for i in range(3)] == [1, 2, 3]
