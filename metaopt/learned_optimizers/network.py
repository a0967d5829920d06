"""The small MLP inside per-parameter learned optimizers, applied to features kept feature-major.

Feature-major means [features, parameters]: the parameters of a tensor are the long, contiguous
axis, so that every operation runs along them.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from metaopt.learned_optimizers.features import inverse_rms
from taskset.base import Key

LARGE = 131_072  # parameters; a tensor of more goes through a network in blocks
BLOCK = 8192
FEW = 8  # columns; products of a matrix with no more are made one by one

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
    return product(layer["weight"], x) + layer["bias"][:, None]


def product(weight: jax.Array, x: jax.Array) -> jax.Array:
    """`weight`, [inputs, outputs], transposed, times `x`, [inputs, n]: [outputs, n].

    XLA's product of a matrix with few columns takes a CPU 3 to 10 times as long as its products
    with each of them.
    """
    if not 0 < x.shape[1] <= FEW:
        return weight.T @ x
    return jnp.stack([column @ weight for column in x.T], axis=1)


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


def hidden_layers(network: Weights, x: jax.Array) -> jax.Array:
    """[inputs, n] to the last hidden layer, [units, n], by rectified linear units."""
    for index in range(len(network) - 1):
        x = jax.nn.relu(dense(network[f"layer{index}"], x))
    return x


def stack_features(features: Sequence[jax.Array]) -> jax.Array:
    """[features, n] from arrays [n]: `jnp.stack`, but that of runs side by side is not transposed.

    The axis that `jnp.stack` adds is the first of all under `vmap`, before those of the runs.
    """
    return jnp.concatenate([x[None] for x in features])


def apply_to_features(
    network: Weights,
    features: Sequence[jax.Array],
    shared: jax.Array,
    num_outputs: int = 2,
) -> tuple[list[jax.Array], jax.Array]:
    """The network on features of every parameter of a tensor, and on others that they share.

    `features` are of the shape of the tensor, and divided by their root mean square over it;
    `shared`, [k], is not. Returns the first `num_outputs` outputs, each of the shape of the tensor,
    and the others as means over the tensor, [others].

    A feature is scaled in its row of the first layer, and what is shared is a bias: neither is
    stored for every parameter.
    """
    dtype, shape, num_features = features[0].dtype, features[0].shape, len(features)
    network = jax.tree.map(lambda x: x.astype(dtype), network)
    first, last = network["layer0"], network[f"layer{len(network) - 1}"]
    scales = jnp.stack([inverse_rms(x) for x in features])
    of_tensor, of_shared = first["weight"][:num_features], first["weight"][num_features:]
    scaled = network | {
        "layer0": {
            "weight": of_tensor * scales[:, None],
            "bias": shared.astype(dtype) @ of_shared + first["bias"],
        }
    }

    def apply(flat: list[jax.Array]) -> tuple[list[jax.Array], jax.Array]:
        hidden = hidden_layers(scaled, stack_features(flat))
        outputs = [last["weight"][:, i] @ hidden + last["bias"][i] for i in range(num_outputs)]
        return outputs, jnp.sum(hidden, axis=1)

    outputs, total = _in_blocks(apply, [x.reshape(-1) for x in features])
    means = (total / features[0].size) @ last["weight"][:, num_outputs:] + last["bias"][
        num_outputs:
    ]
    return [x.reshape(shape) for x in outputs], means


def _in_blocks(
    apply: Callable[..., tuple[list[jax.Array], jax.Array]], arrays: list[jax.Array]
) -> tuple[list[jax.Array], jax.Array]:
    """`apply` to `arrays`, [n] each, in blocks if they are large, so that all stays in the cache.

    It returns arrays [n], and a sum over n. Small arrays are many at a time in meta-training, where
    blocks of each would not help.
    """
    size = arrays[0].size
    if size <= LARGE:
        return apply(arrays)
    num_whole = size // BLOCK * BLOCK
    blocks, totals = jax.lax.map(apply, [x[:num_whole].reshape(-1, BLOCK) for x in arrays])
    rest, total = apply([x[num_whole:] for x in arrays])
    joined = [jnp.concatenate([x.reshape(-1), y]) for x, y in zip(blocks, rest, strict=True)]
    return joined, jnp.sum(totals, axis=0) + total
