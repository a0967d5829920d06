"""Windows of text: which are drawn, how they are padded, and that padding changes nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data.text import LONGEST_PATCH, WHOLE_WINDOWS, TextDataset

LENGTHS = np.asarray([3, 5, 9, 4])
NUM_DRAWS = 4000


def tiny(ranges, patch_length=4, padded_length=4, last_window=True):
    """Document d holds the ids 20 d + 1, 20 d + 2, ...; its label is d.

    `ranges` has the first document and the number of documents of each split.
    """
    stream = np.concatenate([20 * d + np.arange(n) for d, n in enumerate(LENGTHS)])
    count = lambda number: jnp.asarray(number, jnp.int32)
    return TextDataset(
        stream=jnp.asarray(np.pad(stream, (0, LONGEST_PATCH), constant_values=99), jnp.uint8),
        starts=jnp.asarray(np.cumsum(LENGTHS) - LENGTHS, jnp.int32),
        lengths=jnp.asarray(LENGTHS, jnp.int32),
        labels=jnp.arange(4, dtype=jnp.int32),
        first_document={split: count(ranges[split][0]) for split in SPLITS},
        num_documents={split: count(ranges[split][1]) for split in SPLITS},
        patch_length=count(patch_length),
        padded_length=padded_length,
        last_window=last_window,
    )


def of_document(document, **options):
    return tiny(dict.fromkeys(SPLITS, (document, 1)), **options)


def of_documents(first, number, **options):
    return tiny(dict.fromkeys(SPLITS, (first, number)), **options)


@functools.partial(jax.jit, static_argnames="num")
def _draw(dataset, key, num):
    return dataset.sample("train", key, num)


def draw(dataset, seed=0, num=NUM_DRAWS):
    return jax.tree.map(np.asarray, _draw(dataset, jax.random.key(seed), num))


@pytest.mark.parametrize(("last_window", "num_starts"), [(True, 6), (False, 5)])
def test_starts_are_uniform_and_the_last_one_is_drawn_unless_as_released(last_window, num_starts):
    batch = draw(of_document(2, last_window=last_window))  # 9 tokens, 4 at a time
    starts = batch["tokens"][:, 0] - 41
    np.testing.assert_array_equal(batch["tokens"], 41 + starts[:, None] + np.arange(4)[None])
    assert np.all(batch["mask"] == 1)
    assert np.all(batch["label"] == 2)
    counts = np.bincount(starts)
    assert len(counts) == num_starts
    p = 1 / num_starts
    assert np.all(abs(counts - NUM_DRAWS * p) < 4.5 * np.sqrt(NUM_DRAWS * p * (1 - p)))


@pytest.mark.parametrize("last_window", [True, False])
def test_short_documents_are_padded_and_just_fitting_ones_start_at_the_front(last_window):
    short = draw(of_document(0, last_window=last_window))
    assert np.all(short["tokens"] == np.asarray([[1, 2, 3, 0]]))
    assert np.all(short["mask"] == np.asarray([[1, 1, 1, 0]]))
    fitting = draw(of_document(3, last_window=last_window))
    assert np.all(fitting["tokens"] == np.asarray([[61, 62, 63, 64]]))
    assert np.all(fitting["mask"] == 1)


def test_one_token_too_long_has_two_windows_or_as_released_one():
    assert set(draw(of_document(1))["tokens"][:, 0]) == {21, 22}
    assert set(draw(of_document(1, last_window=False))["tokens"][:, 0]) == {21}


def test_documents_are_uniform_within_the_range_of_a_split():
    counts = np.bincount(draw(of_documents(1, 3))["label"], minlength=4)
    assert counts[0] == 0
    assert np.all(abs(counts[1:] - NUM_DRAWS / 3) < 4.5 * np.sqrt(NUM_DRAWS * 2 / 9))


def test_each_split_has_its_own_range():
    dataset = tiny({split: (index, 1) for index, split in enumerate(SPLITS)})
    sample = jax.jit(lambda dataset, key: [dataset.sample(s, key, 2)["label"] for s in SPLITS])
    labels = sample(dataset, jax.random.key(0))
    np.testing.assert_array_equal(np.stack(labels), [[0, 0], [1, 1], [2, 2], [3, 3]])


def test_rows_do_not_depend_on_batch_size_nor_columns_on_padding():
    large = draw(of_documents(0, 4, patch_length=4, padded_length=7))
    small = draw(of_documents(0, 4, patch_length=4, padded_length=4), num=5)
    for name in ("tokens", "mask"):
        np.testing.assert_array_equal(large[name][:5, :4], small[name])
        assert not large[name][:, 4:].any()
    np.testing.assert_array_equal(large["label"][:5], small["label"])


def test_sizes_are_inputs_of_one_program():
    before = _draw._cache_size()
    lengths = [
        draw(dataset, num=8)["mask"].sum(axis=1).max()
        for dataset in (
            of_document(0, patch_length=6, padded_length=6),
            of_document(3, patch_length=3, padded_length=6),
            of_documents(0, 4, patch_length=2, padded_length=6),
        )
    ]
    assert lengths == [3, 3, 2]
    assert _draw._cache_size() == before + 1


def test_the_same_key_gives_the_same_batch_and_another_another():
    first, again, other = (draw(of_documents(0, 4), seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first["tokens"], again["tokens"])
    assert (first["tokens"] != other["tokens"]).any()


def test_whole_is_a_fixed_sample_of_windows_even_inside_a_program():
    dataset = of_documents(0, 4)
    batches = jax.jit(lambda dataset: (dataset.whole("train"), dataset.whole("train")))(dataset)
    assert batches[0]["tokens"].shape == (WHOLE_WINDOWS, 4)
    np.testing.assert_array_equal(batches[0]["tokens"], batches[1]["tokens"])
    assert set(np.asarray(batches[0]["label"])) == {0, 1, 2, 3}


def test_types_are_those_that_models_take_and_the_highest_ids_survive():
    for dtype in (jnp.uint8, jnp.uint16):
        top = int(jnp.iinfo(dtype).max)
        batch = draw(dataclasses.replace(of_document(3), stream=jnp.full((2000,), top, dtype)))
        assert np.all(batch["tokens"] == top + 1)
        types = {name: x.dtype for name, x in batch.items()}
        assert types == {"tokens": np.int32, "mask": np.float32, "label": np.int32}
