"""An MLP that classifies handwritten digits."""

import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import side_by_side
import tyro
from sklearn.datasets import load_digits

SIZES = (64, 64, 64, 10)
BATCH_SIZE = 64


def init(key):
    layers = []
    for fan_in, fan_out in itertools.pairwise(SIZES):
        key, key_layer = jax.random.split(key)
        weight = jax.random.normal(key_layer, (fan_in, fan_out)) * (2 / fan_in) ** 0.5
        layers.append({"weight": weight, "bias": jnp.zeros(fan_out)})
    return layers


def loss_of(params, batch):
    x, label = batch
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["weight"] + layer["bias"])
    logits = x @ params[-1]["weight"] + params[-1]["bias"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, label).mean()


def batches() -> Iterator:
    pixels, labels = load_digits(return_X_y=True)
    pixels, draw = (pixels / 16).astype(np.float32), np.random.RandomState(0)
    while True:
        chosen = draw.randint(len(pixels), size=BATCH_SIZE)
        yield pixels[chosen], labels[chosen]


if __name__ == "__main__":
    side_by_side.compare(tyro.cli(side_by_side.Options), init, loss_of, batches)
