"""The hash behind all random numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.random import threefry_2x32

import taskset.base  # which has the hash written out

# The known answers of Random123, of 20 rounds: key, counter, hash.
KNOWN = [
    ("00000000 00000000", "00000000 00000000", "6b200159 99ba4efe"),
    ("ffffffff ffffffff", "ffffffff ffffffff", "1cb996fc bb002be7"),
    ("13198a2e 03707344", "243f6a88 85a308d3", "c4923a9c 483df7a0"),
]


def words(text: str) -> np.ndarray:
    return np.asarray([int(word, 16) for word in text.split()], np.uint32)


@pytest.mark.parametrize(("key", "counter", "expected"), KNOWN)
def test_has_the_known_answers(key, counter, expected):
    found = jax.jit(threefry_2x32)(tuple(words(key)), words(counter))
    np.testing.assert_array_equal(found, words(expected))


def test_is_written_out_in_programs_for_cpus():
    assert taskset.base.Key
    draw = jax.vmap(lambda key: jax.random.normal(key, (3,)))
    text = jax.jit(draw).lower(jax.random.split(jax.random.key(0), 2)).as_text()
    assert "while" not in text


def test_outside_of_programs_too():
    inside = jax.jit(lambda: jax.random.bits(jax.random.key(1), (5,)))()
    np.testing.assert_array_equal(jax.random.bits(jax.random.key(1), (5,)), inside)
    assert jnp.unique(inside).size == 5
