"""Integers that are mostly small, in about as many bits as their entropy.

What a range coder (Martin 1979) codes is how many bits each has, by how frequent that is among
them. Its sign and its bits, but for the first, which is always 1, follow as they are. The
frequencies stand in front, as logarithms of a byte each.
"""

import importlib
import importlib.util
from typing import Any

import numpy as np

from taskset.errors import InputError

UNIT = 8  # a frequency is 2^-(byte / UNIT): 4 % off at worst, which costs less than .001 bits
ROUNDS = (16, 16)  # bits that are coded at once; the coder's probabilities have 24

FIXED_WORDS = 12  # of any code, at most: the frequencies, and its end


def check_installed() -> None:
    """Raises `InputError` without the range coder, which is an extra of the package."""
    if importlib.util.find_spec("constriction") is None:
        raise InputError(
            "a tape takes the range coder of constriction, which is not installed; "
            "pip install 'metaopt[tape]', or use FullBackprop"
        )


def most_words(num: int) -> int:
    """What no code of `num` integers exceeds: 32 bits and log2(33) for each."""
    return -(-num * 38 // 32) + FIXED_WORDS


def encode(integers: np.ndarray) -> np.ndarray:
    """The code of `integers`, [num] int32: words, [at most most_words(num)] uint32."""
    stream = _range_coder()
    coder, uniform = stream.queue.RangeEncoder(), stream.model.Uniform()
    sizes = np.abs(integers.astype(np.int64))
    lengths = np.frexp(sizes.astype(np.float64))[1].astype(np.int32)
    header = _frequencies(lengths)
    coder.encode(lengths, _model(header))
    left, bits = lengths, 2 * (sizes - _first_bit(lengths)) + (integers < 0)
    for most in ROUNDS:
        bits, left = bits[left > 0], left[left > 0]
        choices = 1 << np.minimum(left, most)
        coder.encode((bits % choices).astype(np.int32), uniform, choices)
        bits, left = bits // choices, left - most
    return np.concatenate([header, coder.get_compressed()])


def decode(words: np.ndarray, num: int) -> np.ndarray:
    """The integers, [num] int32, whose code `words` begin with."""
    stream = _range_coder()
    header = words[: _header_words(int(words[0]) & 255)]
    coder, uniform = stream.queue.RangeDecoder(words[len(header) :]), stream.model.Uniform()
    lengths = np.asarray(coder.decode(_model(header), num))
    left, bits, place = lengths, np.zeros(num, np.int64), 0
    for most in ROUNDS:
        more = left > 0
        read = np.asarray(coder.decode(uniform, 1 << np.minimum(left[more], most)))
        bits[more] += read.astype(np.int64) << place
        left, place = left - most, place + most
    sizes = (bits >> 1) + _first_bit(lengths)
    return np.where(bits & 1, -sizes, sizes).astype(np.int32)


def _range_coder() -> Any:
    """The part of constriction that has it; imported when it is needed, for it is an extra."""
    return importlib.import_module("constriction").stream


def _first_bit(lengths: np.ndarray) -> np.ndarray:
    """Of numbers of so many bits; 0 of those of none."""
    return np.left_shift(1, lengths.astype(np.int64)) >> 1


def _header_words(longest: int) -> int:
    return -(-(longest + 2) // 4)


def _frequencies(lengths: np.ndarray) -> np.ndarray:
    """The greatest of `lengths` and the frequency of each up to it, a byte each, as uint32."""
    counts = np.bincount(lengths)
    with np.errstate(divide="ignore"):
        logarithms = -UNIT * np.log2(counts / len(lengths))
    longest = len(counts) - 1
    codes = np.zeros(4 * _header_words(longest), np.uint8)
    codes[0], codes[1 : longest + 2] = longest, np.minimum(np.round(logarithms), 255)
    return codes.view("<u4").astype(np.uint32)


def _model(header: np.ndarray) -> Any:
    """The distribution of lengths, and of one that there is none of, for it takes at least two."""
    codes = header.astype("<u4").view(np.uint8)
    frequencies = 2.0 ** (-codes[1 : codes[0] + 2].astype(np.float64) / UNIT)
    return _range_coder().model.Categorical(np.append(frequencies, 0.0), perfect=False)
