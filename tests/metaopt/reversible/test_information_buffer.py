"""Multiplications that are undone to the bit, and the room that this takes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.reversible.fixed_point import FORMATS
from metaopt.reversible.information_buffer import Buffer, divide, multiply, num_words
from taskset.errors import InputError

SIZE = 50


def there_and_back(decays, form, room=None):
    """Starts, ends and reached starts of random numbers, and the buffers of the last two."""
    decays = np.asarray(decays)
    numerators = jnp.asarray(np.round(decays * 2**form.of_decays), form.signed)
    start = form.encode(jax.random.normal(jax.random.key(0), (SIZE,)), form.of_averages[0])
    begun = Buffer.empty((SIZE,), num_words(decays, form) if room is None else room, form)

    def forwards(carry, numerator):
        c, buffer, spilled = multiply(*carry[:1], numerator, carry[1], form)
        return (c + 12345, buffer), spilled

    def back(carry, inputs):
        numerator, spilled = inputs
        return divide(carry[0] - 12345, numerator, carry[1], spilled, form), None

    @jax.jit
    def run(numerators):
        end, spilled = jax.lax.scan(forwards, (start, begun), numerators)
        reached, _ = jax.lax.scan(back, end, (numerators, spilled), reverse=True)
        return end, reached

    return start, *run(numerators)


@pytest.mark.parametrize("precision", FORMATS)
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.98, "random"])
def test_two_thousand_decays_are_undone(decay, precision):
    with jax.enable_x64(True):
        form = FORMATS[precision]
        random = np.random.RandomState(0).uniform(0.02, 0.99, 2000)
        decays = random if decay == "random" else np.full(2000, decay)
        decays = np.clip(np.round(decays * 256), 1, 255) / 256
        start, (end, buffer), (reached, after) = there_and_back(decays, form)
        np.testing.assert_array_equal(reached, start)
        assert bool(after.is_empty) and not bool(buffer.is_full)
        assert not np.array_equal(end, start)

        bits = int(buffer.pointer) * form.word_bits / 2000
        ideal = float(np.mean(np.log2(1 / decays)))
        rounding = 2.0 ** -(form.bits - 2 * form.of_decays - 1) / math.log(2)
        assert bits <= ideal + rounding + 1e-3
        assert int(buffer.pointer) == num_words(decays, form)


def test_without_the_buffer_the_start_is_lost():
    """Division of floats: the noise of every step grows by 1 / decay on the way back."""
    decay, forwards = np.float32(0.9), []
    value = np.random.RandomState(0).randn(SIZE).astype(np.float32)
    start = value
    for _ in range(400):
        value = decay * value + np.float32(0.1)
        forwards.append(value)
    for _ in range(400):
        value = (value - np.float32(0.1)) / decay
    assert np.linalg.norm(value - start) / np.linalg.norm(start) > 1


def test_a_buffer_without_room_says_so():
    with jax.enable_x64(True):
        _, (_, buffer), _ = there_and_back(np.full(400, 0.5), FORMATS["int64"], room=3)
        assert bool(buffer.is_full)


@pytest.mark.parametrize("precision", FORMATS)
def test_encoding_is_to_the_nearest_and_cut_at_the_limit(precision):
    with jax.enable_x64(True):
        form = FORMATS[precision]
        unit = 2.0**-form.of_params
        x = jnp.asarray([0.4 * unit, -0.6 * unit, 1.0, -1e9, np.nan])
        code = form.encode(x, form.of_params)
        expected = [0, -1, 2**form.of_params, -form.limit, 0]
        assert code.tolist() == expected and code.dtype == form.signed
        assert not bool(form.fits(code)) and bool(form.fits(code[:3]))
        decoded = form.decode(code[:3], form.of_params, jnp.float32)
        np.testing.assert_array_equal(decoded, np.float32([0, -unit, 1]))


def test_rounded_decays_have_a_derivative():
    form = FORMATS["int32"]
    value, slope = jax.value_and_grad(form.round_decay)(jnp.float32(0.9))
    assert (float(value), float(slope)) == (230 / 256, 1.0)
    assert float(form.round_decay(1.0)) == 255 / 256 and float(form.round_decay(0.0)) == 1 / 256


def test_decays_that_cannot_be_undone_are_refused():
    with pytest.raises(InputError, match="only those between 0 and 1 can be undone"):
        FORMATS["int64"].check_decays(np.asarray([0.0, 0.5]))
    with pytest.raises(InputError, match=r"a decay is 0\.999, and decays are multiples of 1/256"):
        FORMATS["int32"].check_decays(np.asarray(0.999))
    FORMATS["int64"].check_decays(np.asarray(0.999))
