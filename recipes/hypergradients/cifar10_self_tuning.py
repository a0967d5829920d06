"""Fifteen hyper-parameters of dropout and augmentation, tuned while one network trains on CIFAR-10.

MacKay et al. 2019 (https://arxiv.org/abs/1903.03088), section 4.2. Not run here: see
`full_size.py`, and `tuned_dropout.py` for a small one. The network has the five convolutions of
AlexNet and three dense layers; their widths, and what hue, contrast and the like do exactly, are
choices made here.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
from classification import cross_entropies
from tuned_dropout import dropped

from metaopt import dynamics
from metaopt.domains import Between, Whole
from metaopt.estimators import DirectGradient
from metaopt.horizons import Endless
from metaopt.hyperparameter_training import Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.self_tuning import layers
from metaopt.self_tuning.layers import Draws
from metaopt.self_tuning.problem import RespondingTraining, SelfTuning
from metaopt.self_tuning.responses import BestResponse, Responsive
from taskset.base import Batch, Dataset, Key, Task, TaskFamily
from taskset.data import sources
from taskset.data.arrays import ArrayDataset

SIDE, CHANNELS, DENSE = 32, (3, 64, 192, 384, 256, 256), (1024, 1024, 10)
POOLED = (0, 1, 4)  # convolutions that are followed by a maximum over 2 x 2
DROPOUT = Between(0.0, 0.9)  # more is unstable


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Nothing(Task):
    """All is in the training."""

    def init(self, key: Key) -> None:
        raise NotImplementedError

    def loss(self, params: object, batch: Batch, key: Key) -> jax.Array:
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Cifar10(TaskFamily):
    """Minibatches of 128."""

    batch_size = 128

    def load_data(self) -> ArrayDataset:
        return sources.load("cifar10", "tfds")

    def shapes(self) -> ArrayDataset:
        """Of the data."""

        def batch(number: int) -> dict[str, jax.ShapeDtypeStruct]:
            image = jax.ShapeDtypeStruct((number, SIDE * SIDE * 3), jnp.uint8)
            return {"image": image, "label": jax.ShapeDtypeStruct((number,), jnp.int32)}

        return ArrayDataset({"train": batch(40_000), "outer_valid": batch(10_000)})

    def sample(self, data: Dataset, key: Key) -> Nothing:
        return Nothing()


def augmented(images: jax.Array, values: Values, key: Key) -> jax.Array:
    """[batch, 32, 32, 3] in new colours, with holes."""
    keys = jax.random.split(key, 7)
    about_one = lambda key, size: 1 + size * jax.random.uniform(key, minval=-1.0)
    images = images * about_one(keys[0], values["brightness"])
    mean = jnp.mean(images, axis=(1, 2, 3), keepdims=True)
    images = mean + (images - mean) * about_one(keys[1], values["contrast"])
    grey = jnp.mean(images, axis=3, keepdims=True)
    # A rotation about the grey axis: part of each channel goes to the next one.
    turn = values["hue"] * jax.random.uniform(keys[2], minval=-1.0)
    colours = (1 - jnp.abs(turn)) * (images - grey) + turn * jnp.roll(images - grey, 1, axis=3)
    images = grey + colours * about_one(keys[3], values["saturation"])
    images = images * about_one(keys[4], values["input_scale"])
    holes = jnp.arange(5, dtype=jnp.float32)
    corners = jax.random.uniform(keys[5], (5, 2), maxval=SIDE)
    place = jnp.arange(SIDE, dtype=jnp.float32)[None, None, :] - corners[:, :, None]
    within = (place >= 0) & (place < values["cutout_length"])  # [holes, 2, 32]
    covers = within[:, 0, :, None] & within[:, 1, None, :]
    covers &= (holes < values["cutout_holes"])[:, None, None]
    images = jnp.where(jnp.any(covers, axis=0)[None, :, :, None], 0, images)
    return dropped(images, values["input_dropout"], keys[6])


def network(params: Responsive, images: jax.Array, values: Values, key: Key) -> jax.Array:
    """Logits, [batch, 10], with the dropout rates of `values`."""
    keys, hidden = jax.random.split(key, 7), images
    for index, rate in enumerate(values["convolution_dropout"]):
        hidden = jax.nn.relu(layers.conv(params[f"convolution{index}"], hidden))
        if index in POOLED:
            batch, side, _, channels = hidden.shape
            hidden = hidden.reshape(batch, side // 2, 2, side // 2, 2, channels).max((2, 4))
        hidden = dropped(hidden, rate, keys[index])
    hidden = hidden.reshape(len(hidden), -1)
    for index, rate in enumerate(values["dense_dropout"]):
        hidden = jax.nn.relu(layers.dense(params[f"dense{index}"], hidden))
        hidden = dropped(hidden, rate, keys[5 + index])
    return layers.dense(params["dense2"], hidden)


@dataclasses.dataclass(frozen=True)
class Augmentation(RespondingTraining):
    """Nesterov's momentum is not used, nor a schedule."""

    def hyperparameters(self) -> Hyperparameters:
        at = lambda high: Hyperparameter(0.05, Between(0.0, high))
        return {
            "convolution_dropout": Hyperparameter(0.05, DROPOUT, (5,)),
            "dense_dropout": Hyperparameter(0.05, DROPOUT, (2,)),
            "input_dropout": Hyperparameter(0.05, DROPOUT),
            "input_scale": at(0.3),
            "hue": at(0.5),
            "contrast": at(1.0),
            "saturation": at(1.0),
            "brightness": at(1.0),
            "cutout_length": Hyperparameter(4.0, Whole(0, 24)),
            "cutout_holes": Hyperparameter(1.0, Whole(0, 4)),
        }

    def init(self, values: Values, task: Task, key: Key) -> BestResponse:
        keys = jax.random.split(key, 8)
        made = {}
        for index, size in enumerate(itertools.pairwise(CHANNELS)):
            made[f"convolution{index}"] = layers.init_conv(Draws(keys[index], 15), (3, 3), *size)
        features = CHANNELS[-1] * (SIDE // 2 ** len(POOLED)) ** 2
        for index, size in enumerate(zip((features, *DENSE), DENSE, strict=False)):
            made[f"dense{index}"] = layers.init_dense(Draws(keys[5 + index], 15), *size)
        return BestResponse.of_layers(made)

    def inner_loss(
        self, values: Values, task: Task, params: Responsive, batch: Batch, key: Key
    ) -> jax.Array:
        key_images, key_network = jax.random.split(key)
        images = augmented(_images(batch), values, key_images)
        logits = network(params, images, values, key_network)
        return jnp.mean(cross_entropies(logits, batch["label"]))

    def outer_loss(
        self, values: Values, task: Task, params: Responsive, batch: Batch, key: Key
    ) -> jax.Array:
        no_dropout = {"convolution_dropout": jnp.zeros(5), "dense_dropout": jnp.zeros(2)}
        logits = network(params, _images(batch), no_dropout, key)
        return jnp.mean(cross_entropies(logits, batch["label"]))

    def dynamics(self, values: Values) -> dynamics.Momentum:
        return dynamics.Momentum(0.01, 0.9)


def _images(batch: Batch) -> jax.Array:
    return batch["image"].reshape(-1, SIDE, SIDE, 3).astype(jnp.float32) / 255


def estimator() -> DirectGradient:
    """After five epochs of training alone, two steps of it for one of tuning."""
    problem = SelfTuning(Cifar10(), Augmentation(), scale=0.5, entropy_weight=1e-3)
    return DirectGradient(problem, 1, 2, Endless(), warm_up=5 * 40_000 // 128)
