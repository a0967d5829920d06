"""The small MLP inside per-parameter learned optimizers, applied to features kept feature-major.

Feature-major means [features, parameters]: the parameters of a tensor are the long, contiguous
axis, so that every operation runs along them.
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from taskset.base import Key

# {"layer0": {"weight": [inputs, outputs], "bias": [outputs]}, "layer1": ...}
Weights = dict[str, dict[str, jax.Array]]


def init_network(key: Key, sizes: Sequence[int]) -> Weights:
    """Weights normal with deviation inputs^-1/2, truncated at 2 deviations; biases zero."""
    layers = {}
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        key_layer, shape = jax.random.fold_in(key, index), (fan_in, fan_out)
        draw = jax.random.truncated_normal(key_layer, -2, 2, shape, jnp.float32)
        bias = jnp.zeros(fan_out, jnp.float32)
        layers[f"layer{index}"] = {"weight": draw * fan_in**-0.5, "bias": bias}
    return layers


def dense(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """[inputs, n] to [outputs, n]."""
    return layer["weight"].T @ x + layer["bias"][:, None]


def dense_sums(layer: dict[str, jax.Array], xs: Sequence[jax.Array]) -> list[jax.Array]:
    """The same for a list of inputs of any one shape, as sums of products.

    For a handful of units it fuses into one loop over the parameters, where a batched matrix
    product would go through memory once per layer.
    """
    weight, bias = layer["weight"], layer["bias"]
    return [
        sum((weight[i, k] * x for i, x in enumerate(xs)), start=bias[k])
        for k in range(weight.shape[1])
    ]
