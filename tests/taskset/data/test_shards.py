"""Shards: together everything, of one shape, the same for the same index, within the budget."""

import jax
import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data import shards
from taskset.data.shards import ShardedData, size_of
from taskset.errors import InputError

NUM_TRAIN, FEATURES = 103, 8
EXAMPLE = FEATURES + 4  # bytes


@pytest.fixture
def arrays():
    number = {"train": NUM_TRAIN, **dict.fromkeys(SPLITS[1:], 5)}
    return {
        split: {
            "image": np.repeat(np.arange(num, dtype=np.uint8)[:, None], FEATURES, axis=1),
            "label": np.arange(num, dtype=np.int32),
        }
        for split, num in number.items()
    }


@pytest.mark.parametrize("train_budget", [1, 10, 40, 103, 1000])
def test_shards_cover_everything_in_equal_shapes_within_the_budget(arrays, train_budget):
    data = ShardedData(arrays, (15 + train_budget) * EXAMPLE)
    assert data.num_shards == -(-NUM_TRAIN // train_budget)
    found = [data.shard(index) for index in range(data.num_shards)]
    assert len({str(jax.tree.map(lambda x: (x.shape, x.dtype), s)) for s in found}) == 1
    assert size_of(found[0].arrays) <= data.num_bytes
    labels = np.concatenate([shard.arrays["train"]["label"] for shard in found])
    # in order, and the last shard goes on with the first examples
    np.testing.assert_array_equal(labels, np.arange(len(labels)) % NUM_TRAIN)
    assert NUM_TRAIN <= len(labels) < NUM_TRAIN + data.num_shards
    for shard in found:
        train = shard.arrays["train"]
        np.testing.assert_array_equal(train["image"][:, 0], train["label"])
        np.testing.assert_array_equal(shard.whole("test")["label"], np.arange(5))


def test_rotation_is_by_index_alone_and_compiles_once(arrays):
    data = ShardedData(arrays, 40 * EXAMPLE)
    traces = []

    @jax.jit
    def mean(shard):
        traces.append(1)
        return shard.whole("train")["label"].mean()

    means = [float(mean(data.shard(index))) for index in range(2 * data.num_shards)]
    assert means[: data.num_shards] == means[data.num_shards :]
    assert len(set(means)) == data.num_shards > 1
    assert len(traces) == 1


def test_held_out_splits_that_exceed_the_budget_are_refused(arrays):
    with pytest.raises(InputError, match=r"held-out splits take 180 bytes.*METAOPT_DATA_BYTES"):
        ShardedData(arrays, 15 * EXAMPLE)


@pytest.mark.parametrize("text", ["1GB", "0", "-5", "1.5"])
def test_a_budget_that_is_no_number_of_bytes_is_refused(monkeypatch, text):
    monkeypatch.setenv("METAOPT_DATA_BYTES", text)
    with pytest.raises(InputError, match="METAOPT_DATA_BYTES is"):
        shards.budget()


def test_the_budget_is_a_gibibyte_unless_set(monkeypatch):
    monkeypatch.delenv("METAOPT_DATA_BYTES", raising=False)
    assert shards.budget() == 2**30
    monkeypatch.setenv("METAOPT_DATA_BYTES", "4096")
    assert shards.budget() == 4096
