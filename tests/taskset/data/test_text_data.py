"""Specs of text: which documents a split has, what specs share, and what is refused."""

import pickle

import jax
import numpy as np
import pytest

from taskset.base import SPLITS
from taskset.data import sources, store, text_data, text_sources
from taskset.data.text import LONGEST_PATCH
from taskset.data.text_corpus import corpus_of, documents_of, in_subwords
from taskset.data.text_data import TextData
from taskset.errors import InputError

SIZES = {"train": 12, "inner_valid": 2, "outer_valid": 3, "test": 4}


def documents(split, prefix="this is document"):
    return [
        (f"{prefix} {index} of {split}, and no other".encode(), index)
        for index in range(SIZES[split])
    ]


def corpus(splits=SPLITS, prefix="this is document"):
    return corpus_of({split: documents(split, prefix) for split in splits}, num_classes=12)


@pytest.fixture
def tiny(data_dir, monkeypatch):
    """A corpus with four splits, and one with two, in place of two that are embedded."""
    text_data._on_device.cache_clear()
    two = lambda: corpus(("train", "test"))
    for name, build in (("pydoc_topics", corpus), ("doctests", two)):
        monkeypatch.setitem(text_sources.EMBEDDED, f"{name}/bytes", build)
        subwords = lambda build=build: in_subwords(build())
        monkeypatch.setitem(text_sources.EMBEDDED, f"{name}/subwords8k", subwords)
    yield
    text_data._on_device.cache_clear()


def texts(data, split):
    """All documents of a split, by their windows from the front."""
    dataset, tokenizer = data.load(), data.tokenizer()
    first, number = int(dataset.first_document[split]), int(dataset.num_documents[split])
    found = []
    for index in range(first, first + number):
        start, length = int(dataset.starts[index]), int(dataset.lengths[index])
        ids = np.asarray(dataset.stream[start : start + length]).astype(np.int32) + 1
        found.append((tokenizer.decode(ids), int(dataset.labels[index])))
    return found


@pytest.mark.parametrize("tokens", ["bytes", "subwords"])
def test_splits_of_the_corpus_are_used_as_they_are(tiny, tokens):
    data = TextData("pydoc_topics", tokens=tokens, validation_size=5)
    for split in SPLITS:
        assert texts(data, split) == documents(split)


@pytest.mark.parametrize("tokens", ["bytes", "subwords"])
def test_missing_validation_splits_are_cut_off_the_front_of_train(tiny, tokens):
    data = TextData("doctests", tokens=tokens, validation_size=5)
    train = documents("train")
    assert texts(data, "inner_valid") == train[:5]
    assert texts(data, "outer_valid") == train[5:10]
    assert texts(data, "train") == train[10:]
    assert texts(data, "test") == documents("test")


def test_train_is_capped_after_the_validation_splits_and_may_be_all_there_is(tiny):
    capped = TextData("doctests", validation_size=3, num_train=4)
    assert texts(capped, "train") == documents("train")[6:10]
    assert texts(capped, "outer_valid") == documents("train")[3:6]
    just_train = TextData("doctests", validation_size=3, num_train=4, just_train=True)
    for split in SPLITS:
        assert texts(just_train, split) == texts(capped, "train")
    assert len(texts(TextData("pydoc_topics", num_train=100), "train")) == SIZES["train"]


def test_too_few_documents_for_validation_are_one_line(tiny):
    assert len(texts(TextData("doctests", validation_size=5), "train")) == 2
    with pytest.raises(
        InputError, match=r"12 documents in train; validation_size is 6, .* at most 5"
    ):
        TextData("doctests", validation_size=6).load()


def test_specs_of_a_corpus_share_its_arrays_and_a_program(tiny):
    specs = [
        TextData("pydoc_topics", patch_length=patch_length, padded_length=16, num_train=num_train)
        for patch_length, num_train in ((16, None), (9, 3), (4, 1))
    ]
    first, *others = (spec.load() for spec in specs)
    for other in others:
        assert other.stream is first.stream
        assert jax.tree.structure(other) == jax.tree.structure(first)
        assert [x.shape for x in jax.tree.leaves(other)] == [
            x.shape for x in jax.tree.leaves(first)
        ]


def test_corpora_of_about_one_size_share_their_shapes(tiny):
    shapes = [
        [x.shape for x in jax.tree.leaves(TextData(name, validation_size=5).load())]
        for name in ("pydoc_topics", "doctests")
    ]
    assert shapes[0] == shapes[1]
    assert shapes[0][0] == (text_data.TOKENS_MULTIPLE,)


def test_windows_are_of_the_text_and_labels_of_their_document(tiny):
    data = TextData("pydoc_topics", tokens="subwords", patch_length=5)
    batch = data.load().sample("train", jax.random.key(0), 20)
    for row, label in zip(np.asarray(batch["tokens"]), np.asarray(batch["label"])):
        assert data.tokenizer().decode(row) in documents("train")[int(label)][0]


def test_info_is_what_was_stored_and_fixes_the_shapes(tiny):
    info = TextData("tokenized_wikipedia/20190301.en").info()
    assert info == corpus().describe("pydoc_topics/bytes", "embedded")
    assert (info.vocab_size, info.num_classes, dict(info.num_examples)) == (257, 12, SIZES)
    assert info.num_tokens["test"] == sum(len(text) for text, _ in documents("test"))
    assert info.summary()["classes"] == 12


def test_a_corpus_that_was_rebuilt_is_loaded_anew(tiny, monkeypatch):
    assert texts(TextData("pydoc_topics"), "test") == documents("test")
    other = lambda: corpus(prefix="that was document")
    monkeypatch.setitem(text_sources.EMBEDDED, "pydoc_topics/bytes", other)
    sources.prepare("pydoc_topics/bytes", rebuild=True)
    assert texts(TextData("pydoc_topics"), "test") == documents("test", "that was document")


def test_loading_inside_a_program_leaves_no_tracer_behind(tiny):
    jax.jit(lambda: TextData("pydoc_topics").load().lengths)()
    assert texts(TextData("pydoc_topics"), "test") == documents("test")


def test_text_is_stored_under_a_name_of_its_own_and_read_back(data_dir):
    info = TextData("pydoc_topics", tokens="subwords").info()
    path = store.path_of("pydoc_topics/subwords8k", "embedded")
    assert path.is_file()
    assert sources.verify("pydoc_topics/subwords8k") == info
    in_bytes = sources.read("pydoc_topics/bytes")
    for split in SPLITS:
        arrays = sources.read("pydoc_topics/subwords8k")
        assert documents_of(arrays, split) == documents_of(in_bytes, split)
    assert 257 < info.vocab_size <= 8185
    assert sum(info.num_tokens.values()) < sum(len(in_bytes[s]["stream"]) for s in SPLITS) / 3


def test_specs_are_plain_values():
    data = TextData("lm1b", tokens="subwords", patch_length=20, num_train=1000)
    assert pickle.loads(pickle.dumps(data)) == data
    assert hash(data) == hash(TextData("lm1b", tokens="subwords", patch_length=20, num_train=1000))
    assert data != TextData("lm1b", tokens="subwords", patch_length=20)


@pytest.mark.parametrize(
    ("name", "options", "stored"),
    [
        ("lm1b", {}, "docstrings/bytes"),
        ("docstrings", {"tokens": "subwords"}, "docstrings/subwords8k"),
        ("lm1b", {"source": "tfds"}, "lm1b/bytes"),
        (
            "tokenized_wikipedia/20190301.en",
            {"source": "tfds", "tokens": "subwords"},
            "tokenized_wikipedia/20190301.en_subwords8k",
        ),
    ],
)
def test_names_say_what_is_stored(name, options, stored):
    data = TextData(name, **options)
    assert data.stored_name == stored
    assert stored in sources.names(data.source, "text")
    assert sources.kind_of(stored, data.source) == "text"
    corpus, tokens = text_sources.split_name(stored)
    assert (text_sources.joined_name(corpus, tokens), tokens) == (stored, data.tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "lm1c"}, "unknown corpus of source embedded 'lm1c'; did you mean 'lm1b'"),
        ({"source": "disk"}, "unknown data source 'disk'"),
        ({"name": "docstrings", "source": "tfds"}, "unknown corpus of source tfds 'docstrings'"),
        ({"tokens": "words"}, "unknown kind of tokens 'words'; did you mean 'subwords'"),
        ({"patch_length": 0}, "patch_length is 0; it must be from 1 to 1024"),
        ({"patch_length": LONGEST_PATCH + 1}, "patch_length is 1025; it must be from 1 to 1024"),
        ({"patch_length": 9, "padded_length": 8}, "padded_length is 8; it must be from 9 to 1024"),
        ({"num_train": 0}, "num_train is 0; it must be from 1"),
        ({"validation_size": 0}, "validation_size is 0; it must be from 1"),
    ],
)
def test_bad_input_is_one_line(options, message):
    with pytest.raises(InputError) as caught:
        TextData(**{"name": "lm1b", **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_without_tokens_is_refused():
    with pytest.raises(InputError, match="must end in bytes or subwords8k"):
        text_sources.split_name("lm1b")
