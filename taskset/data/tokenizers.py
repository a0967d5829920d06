"""Bytes <-> token ids: single bytes, and subwords learned from text.

Ids start at 1, because 0 is padding. The two stand for the byte and subword text encoders with
which TaskSet was released (https://arxiv.org/abs/2002.11887), which tensorflow-datasets no longer
has: the byte ids are the same, and subword vocabularies have the same size but other entries.
"""

import collections
import dataclasses
import functools
import heapq
import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np

from taskset.errors import InputError

PADDING = 0
SUBWORD_VOCAB_SIZE = 8185  # with padding: what TaskSet's classification tasks expect

# A subword never straddles words: letters, digits or signs, each with the space before it. All
# bytes are in one of the classes; those from 128 on belong to letters beyond ASCII.
WORD = re.compile(
    rb" ?(?:[A-Za-z\x80-\xff]{1,20}|[0-9]{1,4}|[^A-Za-z0-9\x80-\xff\s]{1,16})|\s{1,16}"
)
LEARN_WORDS = 20_000  # most frequent words that a vocabulary is learned from
LEARN_BYTES = 4_000_000  # of text that they are counted in
REMEMBERED_WORDS = 500_000  # whose ids are kept between calls

Pair = tuple[bytes, bytes]


class Tokenizer(Protocol):
    """Text as ids from 1 to `vocab_size - 1`; any bytes can be encoded, and decoded again."""

    @property
    def vocab_size(self) -> int:
        """The number of ids, padding included."""
        ...

    def encode(self, text: bytes) -> np.ndarray:
        """The ids of `text`, [num_tokens] int32."""
        ...

    def decode(self, ids: np.ndarray) -> bytes:
        """The text of `ids`, integers [num_tokens]; padding is skipped.

        Raises `InputError` for an id that the vocabulary does not have.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ByteTokenizer:
    """One token per byte: its value plus 1."""

    @property
    def vocab_size(self) -> int:
        return 257

    def encode(self, text: bytes) -> np.ndarray:
        return np.frombuffer(text, np.uint8).astype(np.int32) + 1

    def decode(self, ids: np.ndarray) -> bytes:
        ids = _checked(ids, self.vocab_size)
        return (ids[ids != PADDING] - 1).astype(np.uint8).tobytes()


@dataclasses.dataclass(frozen=True)
class SubwordTokenizer:
    """Each word is cut, from the left, into the longest pieces of the vocabulary.

    All 256 single bytes are pieces, so every text can be encoded. Frequent pieces come first: a
    model with fewer ids than the vocabulary loses the rare ones.
    """

    pieces: tuple[bytes, ...]  # ids 1, 2, ...

    def __post_init__(self) -> None:
        if not {bytes([value]) for value in range(256)} <= set(self.pieces):
            raise InputError("a subword vocabulary must have all 256 single bytes")

    @property
    def vocab_size(self) -> int:
        return len(self.pieces) + 1

    def encode(self, text: bytes) -> np.ndarray:
        if len(self._known) > REMEMBERED_WORDS:
            self._known.clear()
        known = self._known
        ids: list[int] = []
        for word in WORD.findall(text):
            found = known.get(word)
            if found is None:
                found = known[word] = [self._id_of[p] for p in cut(word, self._id_of)]
            ids += found
        return np.asarray(ids, np.int32)

    def decode(self, ids: np.ndarray) -> bytes:
        ids = _checked(ids, self.vocab_size)
        return b"".join(self.pieces[i - 1] for i in ids[ids != PADDING].tolist())

    @functools.cached_property
    def _id_of(self) -> dict[bytes, int]:
        return {piece: index for index, piece in enumerate(self.pieces, 1)}

    @functools.cached_property
    def _known(self) -> dict[bytes, list[int]]:
        return {}


def learn_subwords(
    documents: Iterable[bytes], vocab_size: int = SUBWORD_VOCAB_SIZE
) -> SubwordTokenizer:
    """A vocabulary of at most `vocab_size` ids, learned from the front of `documents`.

    The pieces are those of byte-pair encoding (https://arxiv.org/abs/1508.07909): from single bytes
    on, the most frequent pair of neighbours becomes a piece. The same text gives the same
    vocabulary on every machine. Raises `InputError` when there is no room for the single bytes.
    """
    if vocab_size < 257:
        raise InputError(f"vocab_size is {vocab_size}; it must be at least 257, for all bytes")
    counts: collections.Counter[bytes] = collections.Counter()
    learned_from = 0
    for document in documents:
        counts.update(WORD.findall(document))
        learned_from += len(document)
        if learned_from >= LEARN_BYTES:
            break
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = dict(by_count[:LEARN_WORDS])
    pieces = [bytes([value]) for value in range(256)] + _merged_pairs(words, vocab_size - 257)
    return SubwordTokenizer(_by_use(pieces, words))


def cut(word: bytes, pieces: Mapping[bytes, object]) -> list[bytes]:
    """The word as pieces, each the longest that fits; `pieces` holds all single bytes."""
    found = []
    start = 0
    while start < len(word):
        stop = len(word)
        while word[start:stop] not in pieces:
            stop -= 1
        found.append(word[start:stop])
        start = stop
    return found


def _merged_pairs(words: Mapping[bytes, int], limit: int) -> list[bytes]:
    """Up to `limit` pieces, by merging the most frequent pair of neighbours over and over."""
    symbols = [[bytes([value]) for value in word] for word in words]
    weights = list(words.values())
    counts: collections.Counter[Pair] = collections.Counter()
    places: dict[Pair, set[int]] = collections.defaultdict(set)  # words that have, or had, the pair
    for index, (parts, weight) in enumerate(zip(symbols, weights, strict=True)):
        for pair in itertools.pairwise(parts):
            counts[pair] += weight
            places[pair].add(index)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    pieces: dict[bytes, None] = {}
    while heap and len(pieces) < limit:
        count, pair = heapq.heappop(heap)
        if -count != counts[pair] or counts[pair] < 2:
            continue  # an entry from before the count changed, or too rare to be worth an id
        pieces[pair[0] + pair[1]] = None
        changed: set[Pair] = set()
        for index in places.pop(pair):
            before, after = symbols[index], _merge(symbols[index], pair)
            for neighbours in itertools.pairwise(before):
                counts[neighbours] -= weights[index]
            for neighbours in itertools.pairwise(after):
                counts[neighbours] += weights[index]
                places[neighbours].add(index)
            symbols[index] = after
            changed |= {*itertools.pairwise(before), *itertools.pairwise(after)}
        for neighbours in changed:
            heapq.heappush(heap, (-counts[neighbours], neighbours))
    return list(pieces)


def _merge(parts: list[bytes], pair: Pair) -> list[bytes]:
    merged = []
    index = 0
    while index < len(parts):
        if tuple(parts[index : index + 2]) == pair:
            merged.append(pair[0] + pair[1])
            index += 2
        else:
            merged.append(parts[index])
            index += 1
    return merged


def _by_use(pieces: list[bytes], words: Mapping[bytes, int]) -> tuple[bytes, ...]:
    """The pieces, those first that are used most when `words` are cut."""
    uses: collections.Counter[bytes] = collections.Counter()
    known = dict.fromkeys(pieces)
    for word, count in words.items():
        for piece in cut(word, known):
            uses[piece] += count
    return tuple(sorted(pieces, key=lambda piece: (-uses[piece], piece)))


def _checked(ids: np.ndarray, vocab_size: int) -> np.ndarray:
    ids = np.asarray(ids)
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        raise InputError(
            f"token ids are from {ids.min()} to {ids.max()}, not from 0 to {vocab_size - 1}"
        )
    return ids
