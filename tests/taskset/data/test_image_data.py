"""TaskSet's names of images: what they resolve to, caps, padding, shards."""

import pickle

import jax
import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data import image_data, sources
from taskset.data.image_data import ImageData
from taskset.errors import InputError


@pytest.fixture(autouse=True)
def prepared(data_dir):
    """Nothing is remembered from another folder of data."""
    caches = (image_data._arrays, image_data._shards)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_a_spec_is_a_small_value():
    spec = ImageData("mnist", "embedded", 1000)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(spec) == hash(ImageData("mnist", "embedded", 1000))
    assert len(pickle.dumps(spec)) < 200


def test_names_mean_their_stand_ins_and_info_says_so():
    info = ImageData("mnist", "embedded", 1000).info()
    assert (info.name, info.source, info.image_shape) == ("digits_28x28", "embedded", (28, 28, 1))
    assert info.num_examples == {"train": 1000, **dict.fromkeys(SPLITS[1:], 716)}
    assert ImageData("mnist", "embedded", 10**6).info().num_examples["train"] == 5040


def test_caps_share_the_arrays_and_draw_only_from_the_first_examples():
    plain, small, large = (ImageData("mnist", "embedded", n).load() for n in (None, 100, 200))
    assert plain.counts is None
    for data, count in ((small, 100), (large, 200)):
        assert data.arrays["train"]["image"] is plain.arrays["train"]["image"]
        first = {row.tobytes() for row in np.asarray(plain.arrays["train"]["image"][:count])}
        drawn = data.sample("train", jax.random.key(0), 512)["image"]
        assert {row.tobytes() for row in np.asarray(drawn)} <= first
        # held-out splits are never capped
        np.testing.assert_array_equal(
            data.sample("test", jax.random.key(0), 9)["label"],
            plain.sample("test", jax.random.key(0), 9)["label"],
        )


@pytest.mark.parametrize("name", ["mnist", "patches_8x8", "cifar10"])
def test_a_cap_is_a_fair_sample_of_the_classes(name):
    data = ImageData(name, "embedded", 1000).load()
    labels = np.asarray(data.arrays["train"]["label"])
    share = np.bincount(labels) / len(labels)
    counts = np.bincount(labels[:1000], minlength=len(share))
    standard_error = np.sqrt(1000 * share * (1 - share))
    assert (np.abs(counts - 1000 * share) < 4.5 * standard_error).all()


def test_padded_data_sets_of_one_shape_share_a_program():
    traces = []

    @jax.jit
    def draw(data, key):
        traces.append(1)
        return data.sample("train", key, 256), data.sample("test", key, 256)

    key = jax.random.key(0)
    for spec in (ImageData("mnist", "embedded", 1000), ImageData("fashion_mnist", "embedded")):
        exact, padded = spec.load(), spec.load(padded=True)
        assert padded.arrays["train"]["image"].shape == (8192, 784)
        assert padded.arrays["test"]["image"].shape == (1024, 784)
        for got, split in zip(draw(padded, key), ("train", "test")):
            jax.tree.map(np.testing.assert_array_equal, got, exact.sample(split, key, 256))
    assert len(traces) == 1


def test_loading_inside_jit_gives_arrays_not_tracers():
    jax.jit(lambda: ImageData("mnist", "embedded", 5).load(padded=True).counts["train"] + 1)()
    assert int(ImageData("mnist", "embedded", 5).load(padded=True).counts["train"]) == 5


def test_data_over_the_budget_comes_in_shards(monkeypatch):
    spec = ImageData("mnist", "embedded")
    whole = spec.load()
    monkeypatch.setenv("METAOPT_DATA_BYTES", "3000000")
    first, rotation = spec.load(), spec.shards()
    assert rotation.num_shards == 4
    size = first.arrays["train"]["label"].shape[0]
    assert size == 5040 // 4
    for index in range(4):
        got = rotation.shard(index).arrays["train"]["image"]
        expected = whole.arrays["train"]["image"][index * size : (index + 1) * size]
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(first.whole("test")["image"], whole.whole("test")["image"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mnits", "embedded"), "unknown data set 'mnits'"),
        (("svhn_cropped", "embedded"), "is not embedded; add source=tfds"),
        (("mnist", "web"), "unknown data source 'web'"),
        (("digits_28x28", "tfds"), "its source is embedded"),
        (("mnist", "embedded", 0), "num_train is 0"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    with pytest.raises(InputError, match=message):
        ImageData(*arguments)


def test_unprepared_tfds_data_says_what_to_do():
    with pytest.raises(InputError, match="run: metaopt data prepare cifar10 --download"):
        ImageData("cifar10", "tfds").load()
    assert sources.names("tfds", "image").count("cifar10") == 1
