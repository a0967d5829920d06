"""A small transformer that reads the help of Python character by character."""

import pydoc_data.topics
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import side_by_side
import tyro

NUM_CHARACTERS, WIDTH, NUM_HEADS, NUM_LAYERS, LENGTH, BATCH_SIZE = 128, 64, 4, 2, 48, 16


def init(key):
    def normal(*shape):
        nonlocal key
        key, key_now = jax.random.split(key)
        return jax.random.normal(key_now, shape) * shape[0] ** -0.5

    layer = lambda: {
        "attention": normal(WIDTH, 3 * WIDTH),
        "output": normal(WIDTH, WIDTH),
        "up": normal(WIDTH, 4 * WIDTH),
        "down": normal(4 * WIDTH, WIDTH),
        "scales": jnp.ones((2, WIDTH)),
    }
    return {
        "characters": normal(NUM_CHARACTERS, WIDTH),
        "positions": normal(LENGTH, WIDTH),
        "layers": [layer() for _ in range(NUM_LAYERS)],
        "logits": normal(WIDTH, NUM_CHARACTERS),
    }


def normalized(x, scale):
    return scale * x * jax.lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-6)


def attention(layer, x):
    heads = (x @ layer["attention"]).reshape(*x.shape[:2], 3, NUM_HEADS, -1)
    query, key, value = jnp.moveaxis(heads, 2, 0)
    mixed = jax.nn.dot_product_attention(query, key, value, is_causal=True)
    return mixed.reshape(x.shape) @ layer["output"]


def loss_of(params, batch):
    x = params["characters"][batch[:, :-1]] + params["positions"]
    for layer in params["layers"]:
        x = x + attention(layer, normalized(x, layer["scales"][0]))
        hidden = jax.nn.gelu(normalized(x, layer["scales"][1]) @ layer["up"])
        x = x + hidden @ layer["down"]
    logits = x @ params["logits"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, batch[:, 1:]).mean()


def batches() -> Iterator:
    text = "".join(pydoc_data.topics.topics.values()).encode("ascii", "replace")
    characters, draw = np.frombuffer(text, np.uint8).astype(np.int32), np.random.RandomState(0)
    while True:
        starts = draw.randint(len(characters) - LENGTH - 1, size=BATCH_SIZE)
        yield np.stack([characters[start : start + LENGTH + 1] for start in starts])


if __name__ == "__main__":
    side_by_side.compare(tyro.cli(side_by_side.Options), init, loss_of, batches)
