"""Integers to words and back, and how many words that takes."""

import numpy as np
import pytest
from entropies import entropy

from metaopt.reversible import entropy_coder
from taskset.errors import InputError

pytest.importorskip("constriction")  # which there is not for Linux on ARM

RNG = np.random.RandomState(0)
LIMITS = np.iinfo(np.int32)
CASES = {
    "zeros": np.zeros(5000),
    "one": np.asarray([-7]),
    "sparse": RNG.rand(20_000) < 1e-3,
    "narrow": np.round(RNG.laplace(scale=0.3, size=20_000)),
    "wide": np.round(RNG.laplace(scale=1000, size=20_000)),
    "outliers": np.where(RNG.rand(20_000) < 1e-3, LIMITS.min, RNG.randint(-2, 3, 20_000)),
    "all": RNG.randint(LIMITS.min, LIMITS.max, 5000),
    "limits": np.asarray([LIMITS.min, LIMITS.max, 0, -1, 1]),
}


@pytest.mark.parametrize("integers", CASES.values(), ids=CASES)
def test_what_is_decoded_was_encoded(integers):
    integers = integers.astype(np.int32)
    words = entropy_coder.encode(integers)
    assert words.dtype == np.uint32 and len(words) <= entropy_coder.most_words(integers.size)
    behind = np.full(9, 0xFFFFFFFF, np.uint32)  # of another code
    decoded = entropy_coder.decode(np.concatenate([words, behind]), integers.size)
    np.testing.assert_array_equal(decoded, integers)
    assert decoded.dtype == np.int32


@pytest.mark.parametrize("name", ["sparse", "narrow"])
def test_it_takes_about_their_entropy(name):
    """2 % more and 8 words."""
    integers = CASES[name].astype(np.int32)
    bits = 32 * len(entropy_coder.encode(integers)) / integers.size
    expected = entropy(integers)
    assert expected - 1e-3 < bits < 1.02 * expected + 8 * 32 / integers.size


def test_without_the_range_coder_there_is_a_way_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'metaopt\[tape\]', or use FullBackprop"):
        entropy_coder.check_installed()
