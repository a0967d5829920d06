"""Classification of images by a multi-layer perceptron."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import jax
import numpy as np

from taskset.base import Batch, Dataset, Key, Params, Task, TaskFamily
from taskset.configured import ConfiguredTask, TaskSpec
from taskset.data import sources
from taskset.data.arrays import ArrayDataset
from taskset.distributions import log_uniform_int, one_of
from taskset.errors import InputError
from taskset.families.image_inputs import image_input, image_spec
from taskset.networks import activations
from taskset.networks.activations import Activation
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim
from taskset.networks.images import ImageInput
from taskset.networks.initializers import LecunNormal
from taskset.networks.losses import cross_entropy
from taskset.options import Options

LARGEST_WIDTH = 100_000
DEPTHS = (6,)  # hidden layers of a bucket
WIDTHS = (128,)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MLPClassification(ConfiguredTask):
    """Mean cross-entropy, in nats, of an MLP on flat images."""

    images: ImageInput
    network: MLP
    batch: Dim

    def init(self, key: Key) -> Params:
        return self.network.init(key)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        logits = self.network.apply(params, self.images.flat(batch["image"]))
        return cross_entropy(logits, batch["label"], self.network.outputs, self.batch)


def build(config: Mapping[str, Any], options: Options) -> TaskSpec:
    """The task of a configuration of `mlp_family`."""
    data = image_spec(config["dataset"], options)
    sizes = config["layer_sizes"]
    images = image_input(data, center=config["center_data"], options=options)
    hidden = tuple(options.dim(size, WIDTHS) for size in sizes)
    if options.padded:
        hidden += (options.dim(1, WIDTHS),) * (DEPTHS[-1] - len(sizes))
    network = MLP(
        inputs=images.features,
        hidden=hidden,
        outputs=data.classes,
        activation=options.activation(config["activation"]),
        initializer=options.initializer(config["w_init"]),
        depth=options.count(len(sizes)),
    )
    return TaskSpec(MLPClassification(images, network, data.batch), data, data.batch.padded)


def plain_mlp(
    image_shape: tuple[int, int, int],
    hidden: tuple[int, ...],
    num_classes: int,
    activation: str = "relu",
    batch_size: int = 64,
) -> MLPClassification:
    """An MLP on images in [0, 1], with the initial weights that JAX gives dense layers."""
    height, width, channels = image_shape
    network = MLP(
        inputs=Dim(height * width * channels),
        hidden=tuple(map(Dim, hidden)),
        outputs=Dim(num_classes),
        activation=Activation(activation),
        initializer=LecunNormal(),
    )
    images = ImageInput(image_shape, Dim(height), Dim(width))
    return MLPClassification(images, network, Dim(batch_size))


@dataclasses.dataclass(frozen=True)
class MLPFamily(TaskFamily):
    """MLPs on one data set; tasks differ in their random start and in their batches.

    Raises `InputError` for an unknown data set, source or activation, or a size below 1.
    """

    dataset: str = "digits"
    source: str = "embedded"  # or "tfds"
    hidden: tuple[int, ...] = (32,)  # widths of the hidden layers; none: logistic regression
    activation: str = "relu"  # one of activations.ACTIVATIONS
    batch_size: int = 64

    def __post_init__(self) -> None:
        sources.check(self.dataset, self.source)
        activations.check(self.activation)
        for width in self.hidden:
            if not 1 <= width <= LARGEST_WIDTH:
                raise InputError(
                    f"mlp: hidden is {self.hidden}; widths must be from 1 to {LARGEST_WIDTH:,}"
                )
        if self.batch_size < 1:
            raise InputError(f"mlp: batch_size is {self.batch_size}; it must be at least 1")

    @classmethod
    def draw(cls, rng: np.random.RandomState) -> Self:
        """A random configuration on an embedded data set, of 1 to 3 layers."""
        num_layers = rng.randint(1, 4)
        return cls(
            dataset=one_of(rng, DRAWN_DATASETS),
            hidden=tuple(log_uniform_int(rng, 8, 128) for _ in range(num_layers)),
            activation=one_of(rng, DRAWN_ACTIVATIONS),
            batch_size=log_uniform_int(rng, 8, 128),
        )

    def load_data(self) -> ArrayDataset:
        return sources.load(self.dataset, self.source)

    def sample(self, data: Dataset, key: Key) -> Task:
        del data, key  # tasks differ in their random start, which is drawn by `init`
        info = sources.info(self.dataset, self.source)
        return plain_mlp(
            info.image_shape, self.hidden, info.num_classes, self.activation, self.batch_size
        )


# What `draw` chooses from: the small embedded data sets, which all that is quick to train on.
DRAWN_DATASETS = ("digits", "patches_8x8", "patches_16x16", "patches_32x32")
DRAWN_ACTIVATIONS = ("relu", "tanh", "gelu", "sigmoid")
