"""The fixed tasks that classify images by a multi-layer perceptron, normalised or not."""

import dataclasses
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Key, Params
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.families import mlp
from taskset.families.image_inputs import image_input, image_spec
from taskset.networks.activations import Activation
from taskset.networks.dense import dense, init_dense
from taskset.networks.dims import Dim, Scalar
from taskset.networks.images import ImageInput
from taskset.networks.initializers import Initializer
from taskset.networks.losses import cross_entropy
from taskset.options import Options

Loss: TypeAlias = Literal["cross_entropy", "squared_error"]
Normalization: TypeAlias = Literal["none", "layer", "batch", "initial"]

LAYER_NORM_EPSILON = 1e-5
BATCH_NORM_EPSILON = 1e-3


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RegularizedMLP(ConfiguredTask):
    """An MLP on flat images whose hidden layers have dropout, or are normalised.

    Both come before the activation. Dropout is at work, and statistics are those of the batch, in
    every call: there is one loss, for training and for evaluation. Normalisation "initial" is that
    of a batch by statistics that are never updated, mean 0 and variance 1.
    """

    images: ImageInput
    hidden: tuple[Dim, ...]
    classes: Dim
    activation: Activation
    initializer: Initializer
    keep_probability: Scalar | None  # [] float32, of a unit in dropout; None: all are kept
    normalization: Normalization = dataclasses.field(metadata={"static": True})
    loss_type: Loss = dataclasses.field(metadata={"static": True})

    def init(self, key: Key) -> Params:
        """`{"layer0": {"weight", "bias"}, ...}`; "scale" and "offset" where there are such."""
        layers, inputs = {}, self.images.features
        for index, outputs in enumerate((*self.hidden, self.classes)):
            key_layer = jax.random.fold_in(key, index)
            layer = init_dense(key_layer, inputs, outputs, self.initializer)
            if index < len(self.hidden) and self.normalization != "none":
                layer["offset"] = jnp.zeros((outputs.padded,))
                if self.normalization == "layer":
                    layer["scale"] = jnp.ones((outputs.padded,))
            layers[f"layer{index}"], inputs = layer, outputs
        return layers

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        x = self.images.flat(batch["image"])
        for index in range(len(self.hidden)):
            layer = params[f"layer{index}"]
            x = self._normalized(layer, dense(layer, x))
            x = self.activation(self._dropped(jax.random.fold_in(key, index), x))
        logits = dense(params[f"layer{len(self.hidden)}"], x)
        if self.loss_type == "cross_entropy":
            return cross_entropy(logits, batch["label"], self.classes, Dim(logits.shape[0]))
        one_hot = jax.nn.one_hot(batch["label"], self.classes.padded)
        return jnp.mean((one_hot - jax.nn.sigmoid(logits)) ** 2)

    def _normalized(self, layer: Params, x: jax.Array) -> jax.Array:
        if self.normalization == "none":
            return x
        if self.normalization == "initial":
            return x / np.sqrt(1 + np.float32(BATCH_NORM_EPSILON)) + layer["offset"][None]
        axis = 1 if self.normalization == "layer" else 0
        epsilon = LAYER_NORM_EPSILON if self.normalization == "layer" else BATCH_NORM_EPSILON
        centered = x - jnp.mean(x, axis=axis, keepdims=True)
        variance = jnp.mean(centered * centered, axis=axis, keepdims=True)
        normal = centered * jax.lax.rsqrt(variance + epsilon)
        if self.normalization == "layer":
            normal = normal * layer["scale"][None]
        return normal + layer["offset"][None]

    def _dropped(self, key: Key, x: jax.Array) -> jax.Array:
        if self.keep_probability is None:
            return x
        kept = jax.random.bernoulli(key, self.keep_probability, x.shape)
        return jnp.where(kept, x / self.keep_probability, 0.0)


def _regularized(
    options: Options,
    dataset: str,
    hidden: tuple[int, ...],
    activation: str = "relu",
    keep_probability: float | None = None,
    normalization: Normalization = "none",
    loss_type: Loss = "cross_entropy",
) -> TaskSpec:
    """Built exactly, whatever the buckets: no other task has this structure.

    The released batch normalisation uses the initial statistics; as intended, those of the batch.
    """
    options = dataclasses.replace(options, buckets="exact")
    data = image_spec([dataset, {"bs": 128}, None], options)
    task = RegularizedMLP(
        image_input(data, center=False, options=options),
        tuple(map(Dim, hidden)),
        data.classes,
        options.activation(activation),
        options.initializer(["default", None]),
        None if keep_probability is None else np.float32(keep_probability),
        "initial" if normalization == "batch" and options.released else normalization,
        loss_type,
    )
    return TaskSpec(task, data, data.batch.padded)


def _plain(options: Options, dataset: str) -> TaskSpec:
    """Cross-entropy of three hidden layers, as in the sampled family."""
    config: dict[str, Any] = {
        "layer_sizes": [128, 128, 128],
        "activation": "relu",
        "w_init": ["default", None],
        "dataset": [dataset, {"bs": 128}, None],
        "center_data": False,
    }
    return mlp.build(config, options)


_squared = partial(_regularized, hidden=(128,) * 3, loss_type="squared_error")
_dropout = partial(_regularized, dataset="cifar10", hidden=(128, 128))
_layer_norm = partial(_regularized, dataset="cifar10", hidden=(128,) * 3, normalization="layer")
_batch_norm = partial(_regularized, dataset="cifar10", normalization="batch")

TASKS = {
    "FixedMLP_cifar10_mse_128x128x128_relu_bs128": partial(_squared, dataset="cifar10"),
    "FixedMLP_cifar10_ce_128x128x128_relu_bs128": partial(_plain, dataset="cifar10"),
    "FixedMLP_mnist_mse_128x128x128_relu_bs128": partial(_squared, dataset="mnist"),
    "FixedMLP_mnist_ce_128x128x128_relu_bs128": partial(_plain, dataset="mnist"),
    "FixedMLP_food10132x32_mse_128x128x128_relu_bs128": partial(_squared, dataset="food101_32x32"),
    "FixedMLP_food10132x32_ce_128x128x128_relu_bs128": partial(_plain, dataset="food101_32x32"),
    # The number in the name is the probability that a unit is kept, not that it is dropped.
    "FixedMLP_cifar10_Dropout02_128x128_relu_bs128": partial(_dropout, keep_probability=0.2),
    "FixedMLP_cifar10_Dropout05_128x128_relu_bs128": partial(_dropout, keep_probability=0.5),
    "FixedMLP_cifar10_Dropout08_128x128_relu_bs128": partial(_dropout, keep_probability=0.8),
    "FixedMLP_cifar10_LayerNorm_128x128x128_relu_bs128": _layer_norm,
    "FixedMLP_cifar10_LayerNorm_128x128x128_tanh_bs128": partial(_layer_norm, activation="tanh"),
    "FixedMLP_cifar10_BatchNorm_128x128x128_relu_bs128": partial(_batch_norm, hidden=(128,) * 3),
    "FixedMLP_cifar10_BatchNorm_64x64x64x64x64_relu_bs128": partial(_batch_norm, hidden=(64,) * 5),
}
