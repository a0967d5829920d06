"""Batches by key: uniform over the counted examples, prefix-stable, one program for all counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.data.arrays import ArrayDataset


def numbered(num, **counts):
    arrays = {"train": {"image": jnp.arange(num)[:, None], "label": jnp.arange(num)}}
    counts = {split: jnp.int32(count) for split, count in counts.items()}
    return ArrayDataset(arrays, counts or None)


@pytest.mark.parametrize("data", [numbered(1000), numbered(1000, train=300)])
def test_a_smaller_batch_begins_a_larger_one(data):
    key = jax.random.key(3)
    large = data.sample("train", key, 512)["label"]
    for batch_size in (1, 7, 128, 511):
        small = data.sample("train", key, batch_size)
        np.testing.assert_array_equal(small["label"], large[:batch_size])
        np.testing.assert_array_equal(small["image"][:, 0], large[:batch_size])


def test_only_the_first_examples_are_drawn_and_each_as_often():
    count, draws = 10, 20_000
    label = numbered(64, train=count).sample("train", jax.random.key(0), draws)["label"]
    seen = np.bincount(label, minlength=64)
    assert not seen[count:].any()
    standard_error = np.sqrt(draws * (1 / count) * (1 - 1 / count))
    assert np.abs(seen[:count] - draws / count).max() < 4.5 * standard_error


def test_a_count_of_all_draws_what_no_count_draws():
    key = jax.random.key(1)
    for num in (7, 1260, 40_000):
        plain, counted = numbered(num), numbered(num, train=num)
        batches = [data.sample("train", key, 64)["label"] for data in (plain, counted)]
        np.testing.assert_array_equal(*batches)
        np.testing.assert_array_equal(plain.whole("train")["label"], np.arange(num))
        np.testing.assert_array_equal(counted.whole("train")["label"], np.arange(num))


def test_one_program_serves_all_counts():
    traces = []

    @jax.jit
    def draw(data, key):
        traces.append(1)
        return data.sample("train", key, 8)["label"]

    for count in (1, 10, 20):
        assert draw(numbered(20, train=count), jax.random.key(0)).max() < count
    assert len(traces) == 1


def test_the_whole_of_a_counted_split_repeats_its_examples_in_place_of_padding():
    whole = numbered(10, train=4).whole("train")
    np.testing.assert_array_equal(whole["label"], [0, 1, 2, 3, 0, 1, 2, 3, 0, 1])
    np.testing.assert_array_equal(whole["image"][:, 0], whole["label"])
