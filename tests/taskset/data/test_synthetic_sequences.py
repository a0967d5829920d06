"""Random sequences: what they hold, in every row."""

import jax
import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data.synthetic_sequences import Associations, Copies
from taskset.errors import InputError

BATCH = 200


def test_associations_ask_for_the_value_of_one_of_their_keys():
    data = Associations(num_pairs=3, num_tokens=4)
    batch = jax.tree.map(np.asarray, data.sample("train", jax.random.key(0), BATCH))
    tokens, target, mask = batch["tokens"], batch["target"], batch["mask"]
    assert tokens.shape == target.shape == mask.shape == (BATCH, 8)
    assert (tokens.dtype, target.dtype, mask.dtype) == (np.int32, np.int32, np.float32)
    keys, values = tokens[:, 0:6:2], tokens[:, 1:6:2]
    assert all(len(set(row)) == 3 for row in keys)
    assert np.all(tokens[:, 6] == 5)
    is_asked = keys == tokens[:, 7:]
    assert np.all(is_asked.sum(axis=1) == 1)
    np.testing.assert_array_equal(target[:, 7], values[is_asked])
    assert np.all(target[:, :7] == 4)
    np.testing.assert_array_equal(mask, np.tile([0] * 7 + [1], (BATCH, 1)))
    for drawn, number in ((keys, 4), (values, 4), (np.argmax(is_asked, axis=1), 3)):
        counts = np.bincount(drawn.reshape(-1), minlength=number)
        share = drawn.size / number
        assert len(counts) == number
        assert np.all(np.abs(counts - share) < 4 * np.sqrt(share))


def test_copies_ask_for_what_was_read_in_its_order():
    batch = Copies(length=3, num_tokens=5).sample("test", jax.random.key(0), BATCH)
    tokens, target, mask = (np.asarray(batch[name]) for name in ("tokens", "target", "mask"))
    assert tokens.shape == target.shape == mask.shape == (BATCH, 7)
    np.testing.assert_array_equal(tokens[:, 3:], np.tile([5, 6, 6, 6], (BATCH, 1)))
    np.testing.assert_array_equal(target[:, 4:], tokens[:, :3])
    assert not np.any(target[:, :4])
    np.testing.assert_array_equal(mask, np.tile([0] * 4 + [1] * 3, (BATCH, 1)))
    counts = np.bincount(tokens[:, :3].reshape(-1), minlength=5)
    assert np.all(np.abs(counts - 120) < 4 * np.sqrt(120))


@pytest.mark.parametrize("data", [Associations(2, 3), Copies(2, 3)])
def test_rows_are_by_key_and_do_not_depend_on_their_number_or_the_split(data):
    sample = jax.jit(data.sample, static_argnums=(0, 2))
    large, small = (sample(SPLITS[i], jax.random.key(1), n) for i, n in enumerate((9, 4)))
    other = sample("train", jax.random.key(2), 9)
    for name in ("tokens", "target", "mask"):
        np.testing.assert_array_equal(large[name][:4], small[name])
    assert np.any(large["tokens"] != other["tokens"])
    assert data.whole("test")["tokens"].shape[0] == 1024
    assert not jax.tree.leaves(data)
    assert data.load() is data


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Associations(5, 4), "num_pairs is 5; it must be from 1 to num_tokens, which is 4"),
        (lambda: Associations(0, 4), "num_pairs is 0"),
        (lambda: Copies(0, 4), "length is 0, num_tokens is 4; both must be at least 1"),
    ],
)
def test_impossible_sizes_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
