"""Tokenizers: nothing is lost, ids are as promised, vocabularies are the same everywhere."""

import numpy as np
import pytest

from taskset.data.tokenizers import (
    PADDING,
    WORD,
    ByteTokenizer,
    SubwordTokenizer,
    cut,
    learn_subwords,
)
from taskset.errors import InputError

TEXT = [b"the cat sat on the mat; the cats sat on the other mats. " * 3, b"then the rat sat. " * 5]
BYTES = tuple(bytes([value]) for value in range(256))


@pytest.fixture(scope="module")
def learned():
    return learn_subwords(TEXT, vocab_size=268)


def random_texts():
    rng = np.random.RandomState(0)
    points = [rng.choice([rng.randint(32, 128), rng.randint(0xD800)], 50) for _ in range(50)]
    unicode = ["".join(map(chr, np.atleast_1d(p))) for p in points]
    spaced = [" ".join(rng.choice(["a", "the cat", "\n\n", " 12345", "->", "日本"], 20))]
    return [t.encode() for t in unicode + spaced] + [rng.bytes(200), bytes(range(256)), b""]


@pytest.mark.parametrize("name", ["bytes", "subwords"])
def test_any_text_survives(name, learned):
    tokenizer = ByteTokenizer() if name == "bytes" else learned
    for text in random_texts():
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int32
        assert not ids.size or 1 <= ids.min() <= ids.max() < tokenizer.vocab_size
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(np.pad(ids, (0, 3), constant_values=PADDING)) == text


def test_byte_ids_are_the_bytes_plus_one():
    np.testing.assert_array_equal(ByteTokenizer().encode(b"\x00aB\xff"), [1, 98, 67, 256])
    assert ByteTokenizer().vocab_size == 257


def test_words_cover_all_bytes_and_keep_one_space_before():
    text = b"let x = f(12345,  y)\n    caf\xc3\xa9 "
    words = [b"let", b" x", b" =", b" f", b"(", b"1234", b"5", b",", b"  ", b"y", b")", b"\n    "]
    assert WORD.findall(text) == [*words, b"caf\xc3\xa9", b" "]
    for text in random_texts():
        assert b"".join(WORD.findall(text)) == text


def test_words_are_cut_into_the_longest_pieces_from_the_left():
    pieces = dict.fromkeys((*BYTES, b"ab", b"abcd", b"cde"))
    assert cut(b"abcde", pieces) == [b"abcd", b"e"]
    assert cut(b"abcx", pieces) == [b"ab", b"c", b"x"]
    tokenizer = SubwordTokenizer((b"abcd", b"cde", b"ab", *BYTES))
    np.testing.assert_array_equal(tokenizer.encode(b"abcde"), [1, 4 + ord("e")])


def test_merges_are_those_of_byte_pair_encoding():
    # aab four times: "aa" and "ab" are pairs of 4 each; ties go to the first in byte order
    tokenizer = learn_subwords([b"aab\naab\naab\naab\n"], vocab_size=259)
    assert set(tokenizer.pieces) - set(BYTES) == {b"aa", b"aab"}
    assert tokenizer.pieces[:2] == (b"\n", b"aab")  # by use


def test_frequent_pieces_come_first_and_the_size_is_kept(learned):
    assert learned.vocab_size == 268
    assert len(set(learned.pieces)) == 267
    counts = np.bincount(np.concatenate([learned.encode(t) for t in TEXT]), minlength=268)
    assert np.all(np.diff(counts[1:]) <= 0)
    assert learned.pieces[0] == b" the"
    assert len(learned.encode(TEXT[0])) < len(TEXT[0]) / 2


def test_a_small_text_has_a_small_vocabulary():
    # xy is there twice, xyxy once, which is not worth an id
    assert learn_subwords([b"xyxy"], vocab_size=1000).pieces == (b"xy", *BYTES)


def test_learning_does_not_depend_on_the_order_of_documents(learned):
    assert learn_subwords(TEXT[::-1], vocab_size=268) == learned


def test_bad_input_is_one_line(learned):
    with pytest.raises(InputError, match="vocab_size is 256; it must be at least 257"):
        learn_subwords(TEXT, vocab_size=256)
    with pytest.raises(InputError, match="all 256 single bytes"):
        SubwordTokenizer((b"a", b"b"))
    for tokenizer in (learned, ByteTokenizer()):
        with pytest.raises(InputError, match=f"to {tokenizer.vocab_size - 1}"):
            tokenizer.decode(np.asarray([1, tokenizer.vocab_size]))
        with pytest.raises(InputError, match="from -1 to 1"):
            tokenizer.decode(np.asarray([1, -1]))
