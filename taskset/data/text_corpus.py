"""Text in host memory as one stream of tokens per split, and what is known about it."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from taskset.base import SPLITS
from taskset.data.prepared import Arrays, fingerprint
from taskset.data.tokenizers import ByteTokenizer, SubwordTokenizer, Tokenizer, learn_subwords

Document: TypeAlias = tuple[bytes, int]  # text in UTF-8, and label; 0 where there are no labels


class TextInfo(NamedTuple):
    """The facts about a set of text that fix the shapes of tasks."""

    name: str
    source: str
    vocab_size: int  # ids, with padding
    num_classes: int  # 0: no labels
    num_examples: Mapping[str, int]  # documents, by split
    num_tokens: Mapping[str, int]  # by split
    fingerprint: str  # sha256 of the arrays, in hex: equal only for equal data
    kind: str = "text"

    def summary(self) -> dict[str, Any]:
        """The facts that a table shows."""
        tokens = sum(self.num_tokens.values())
        return {"shape": f"{tokens:,} of {self.vocab_size:,} tokens", "classes": self.num_classes}


class Corpus(NamedTuple):
    """Documents of four splits.

    Where a source has no validation splits of its own they are empty, and cut off the front of
    train when the corpus is loaded: how many documents they get is the task's choice.
    """

    # stream [num_tokens] uint8 or uint16: ids less one, for no document contains padding (id 0)
    # length [num_documents] int32, in tokens
    # label  [num_documents] int32; zeros where there are no labels
    # and in train, for subwords: piece_stream uint8 and piece_length int32, the vocabulary
    splits: Arrays
    vocab_size: int  # ids, with padding
    num_classes: int  # 0: no labels

    def describe(self, name: str, source: str) -> TextInfo:
        """What is known about the text."""
        return TextInfo(
            name=name,
            source=source,
            vocab_size=self.vocab_size,
            num_classes=self.num_classes,
            num_examples={split: len(self.splits[split]["length"]) for split in SPLITS},
            num_tokens={split: len(self.splits[split]["stream"]) for split in SPLITS},
            fingerprint=fingerprint(self.splits),
        )


def corpus_of(documents: Mapping[str, Sequence[Document]], num_classes: int) -> Corpus:
    """The documents of each split, in their order, as bytes; a split not given is empty."""
    splits = {}
    for split in SPLITS:
        stream, length = _joined([text for text, _ in documents.get(split, ())])
        label = np.asarray([label for _, label in documents.get(split, ())], np.int32)
        splits[split] = {"stream": stream, "length": length, "label": label}
    return Corpus(splits, ByteTokenizer().vocab_size, num_classes)


def in_subwords(corpus: Corpus) -> Corpus:
    """A corpus of bytes in subwords, which are learned from the front of train and kept there."""
    train = corpus.splits["train"]
    tokenizer = learn_subwords(_parts(train["stream"], train["length"]))
    splits = {split: _tokenized(arrays, tokenizer) for split, arrays in corpus.splits.items()}
    piece_stream, piece_length = _joined(tokenizer.pieces)
    splits["train"] |= {"piece_stream": piece_stream, "piece_length": piece_length}
    return Corpus(splits, tokenizer.vocab_size, corpus.num_classes)


def tokenizer_of(splits: Arrays) -> Tokenizer:
    """The tokenizer whose ids the arrays of a corpus hold."""
    train = splits["train"]
    if "piece_stream" not in train:
        return ByteTokenizer()
    return SubwordTokenizer(tuple(_parts(train["piece_stream"], train["piece_length"])))


def documents_of(splits: Arrays, split: str) -> list[bytes]:
    """The text of each document of a split, in order."""
    tokenizer, stream = tokenizer_of(splits), splits[split]["stream"]
    stops = np.cumsum(splits[split]["length"], dtype=np.int64).tolist()
    spans = itertools.pairwise([0, *stops])
    return [tokenizer.decode(stream[start:stop].astype(np.int32) + 1) for start, stop in spans]


def _tokenized(arrays: Mapping[str, np.ndarray], tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    # One by one: int32 ids of a whole corpus would take four times the room of its text.
    texts = _parts(arrays["stream"], arrays["length"])
    parts = [(tokenizer.encode(text) - 1).astype(np.uint16) for text in texts]
    return {
        "stream": np.concatenate([np.empty(0, np.uint16), *parts]),
        "length": np.asarray([len(part) for part in parts], np.int32),
        "label": arrays["label"],
    }


def _joined(texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """All texts in a row, [num_bytes] uint8, and the length of each, int32."""
    lengths = np.asarray([len(text) for text in texts], np.int32)
    return np.frombuffer(b"".join(texts), np.uint8), lengths


def _parts(stream: np.ndarray, lengths: np.ndarray) -> list[bytes]:
    """What `_joined` was given."""
    joined = stream.tobytes()
    stops = np.cumsum(lengths, dtype=np.int64).tolist()
    return [joined[start:stop] for start, stop in itertools.pairwise([0, *stops])]
