"""A convolutional network that classifies handwritten digits."""

import itertools

import jax
import jax.numpy as jnp
import mlp
import optax
import side_by_side
import tyro

CHANNELS = (1, 16, 32)


def init(key):
    params = {}
    for i, (before, after) in enumerate(itertools.pairwise(CHANNELS)):
        kernel = jax.random.normal(jax.random.fold_in(key, i), (3, 3, before, after))
        params[f"conv{i}"] = {
            "kernel": kernel * (2 / (9 * before)) ** 0.5,
            "bias": jnp.zeros(after),
        }
    weight = (
        jax.random.normal(jax.random.fold_in(key, 9), (CHANNELS[-1], 10)) * CHANNELS[-1] ** -0.5
    )
    return params | {"output": {"weight": weight, "bias": jnp.zeros(10)}}


def loss_of(params, batch):
    pixels, label = batch
    x = pixels.reshape(-1, 8, 8, 1)
    for i in range(len(CHANNELS) - 1):
        layer, order = params[f"conv{i}"], ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(
            x, layer["kernel"], (2, 2), "SAME", dimension_numbers=order
        )
        x = jax.nn.relu(x + layer["bias"])
    logits = x.mean((1, 2)) @ params["output"]["weight"] + params["output"]["bias"]
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, label).mean()


if __name__ == "__main__":
    side_by_side.compare(tyro.cli(side_by_side.Options), init, loss_of, mlp.batches)
