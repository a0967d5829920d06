"""Noise in minibatches of the outer loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metaopt.corruption import Corruption
from taskset.errors import InputError

KEY = jax.random.key(0)
NUM = 4000
BATCH = {"image": jnp.full((NUM, 4), 51, jnp.uint8), "label": jnp.arange(NUM) % 10}


def test_nothing_is_done_to_a_batch_without_noise():
    assert Corruption().apply(BATCH, KEY) is BATCH
    assert Corruption().apply(None, KEY) is None


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.float32])
def test_inputs_have_normal_noise_in_units_of_the_inputs(dtype):
    image = BATCH["image"] if dtype == jnp.uint8 else jnp.full((NUM, 4), 0.2)
    found = Corruption(input_noise=0.3).apply({**BATCH, "image": image}, KEY)
    noise = np.asarray(found["image"], np.float64) - 0.2
    assert found["image"].dtype == jnp.float32
    assert abs(noise.mean()) < 4 * 0.3 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(0.3, abs=4 * 0.3 / np.sqrt(2 * noise.size))
    np.testing.assert_array_equal(found["label"], BATCH["label"])


def test_a_share_of_the_labels_become_those_of_other_examples():
    found = Corruption(label_noise=0.4).apply(BATCH, KEY)
    changed = np.mean(np.asarray(found["label"] != BATCH["label"]))
    expected = 0.4 * 0.9  # a tenth of the others have the same label
    assert abs(changed - expected) < 4 * np.sqrt(expected * (1 - expected) / NUM)
    np.testing.assert_array_equal(found["image"], BATCH["image"])
    every = Corruption(label_noise=1.0).apply(BATCH, KEY)["label"]
    np.testing.assert_array_equal(jnp.sort(every), jnp.sort(BATCH["label"]))


def test_what_cannot_be_corrupted_is_refused():
    for bad in ({"input_noise": -0.1}, {"input_noise": float("nan")}, {"label_noise": 1.5}):
        with pytest.raises(InputError, match=f"problem.{next(iter(bad))} is"):
            Corruption(**bad)
    with pytest.raises(InputError, match="label_noise is for tasks with label in their batches"):
        Corruption(label_noise=0.1).apply({"tokens": jnp.ones(3)}, KEY)
    with pytest.raises(InputError, match="input_noise is for tasks with image or rows"):
        Corruption(input_noise=0.1).apply(None, KEY)
