"""What classifiers of images by convolutions have in common: the network, and its bucket."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import jax
import numpy as np

from taskset.base import Batch, Key, Params
from taskset.configs.feasibility import KERNEL_SIDE, convolved_side
from taskset.configs.images import STRIDES
from taskset.configured import ConfiguredTask
from taskset.families.image_inputs import ImageSpec
from taskset.networks.branches import in_chunks
from taskset.networks.conv import BIASES, ConvLayer, ConvStack, Window
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim, padded_size
from taskset.networks.images import ImageInput
from taskset.networks.losses import cross_entropy
from taskset.options import Options

# Convolutions of buckets; those that a task does not have are not computed. Half of the tasks that
# are quick to train have one, for which the weights of five are much to update.
DEPTHS = (1, 5)
CHANNELS = {1: (64,), 5: (32, 64)}  # of all layers, by depth: as the largest one of a task has

# Behind few features, classes are cheap: one bucket for all sets of colour images, which have up to
# 1000, and one for the grey ones, which have 10; by the channels of images.
CLASSES = {1: (16,), 3: (1024,)}
MANY_FEATURES_CLASSES = (16, 128, 1024)

# Rows that are padding cost little: those of a minibatch are looked up, and no more.
BATCH_SIZES = (64, 256, 512)


@dataclasses.dataclass(frozen=True)
class ConvClassifier(ConfiguredTask, abc.ABC):
    """Mean cross-entropy, in nats, of a head on what is read off convolutions."""

    images: ImageInput
    stack: ConvStack
    head: MLP
    batch: Dim

    @abc.abstractmethod
    def read(self, x: jax.Array, layer: ConvLayer) -> jax.Array:
        """[rows, features] of an output of `layer`, [rows, side, side, channels]."""

    def init(self, key: Key) -> Params:
        key_stack, key_head = jax.random.split(key)
        return {"convolutions": self.stack.init(key_stack), "head": self.head.init(key_head)}

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        del key
        images = self.images.canvas(batch["image"])
        if self.stack.normalized:
            logits = self._logits(params, images)
        else:
            logits = in_chunks(ConvClassifier._logits, self, params, images, self.batch)
        return cross_entropy(logits, batch["label"], self.head.outputs, self.batch)

    def _logits(self, params: Params, images: jax.Array) -> jax.Array:
        """[rows, classes] of images [rows, side, side, channels]."""
        features = self.stack.apply(params["convolutions"], images, self.read)
        return self.head.apply(params["head"], features)


def conv_stack(config: Mapping[str, Any], images: ImageInput, options: Options) -> ConvStack:
    """The convolutions of a configuration, on `images`."""
    strides = [stride for stride, _ in config["strides"]]
    windows = conv_windows(int(images.height.count), strides, config["padding"])
    channels = [Dim(size) for size in config["hidden_units"]]
    if options.padded:
        depth = padded_size(len(strides), DEPTHS)
        windows = _on_canvas(windows, images.shape[0], _whole_pattern(strides)[:depth])
        largest = padded_size(max(config["hidden_units"]), CHANNELS[depth])
        unused = [1] * (depth - len(strides))
        channels = [Dim(largest, np.int32(n)) for n in (*config["hidden_units"], *unused)]
    return ConvStack(
        inputs=images.shape[2],
        layers=tuple(map(ConvLayer, windows, channels)),
        activation=options.activation(config["activation"]),
        initializer=options.any_initializer(config["w_init"]),
        biases=options.choice("used" if config["use_bias"] else "none", BIASES),
        normalized=config.get("batch_norm", False),
        depth=options.count(len(strides)) if len(windows) > 1 else None,
    )


def few_features_classes(data: ImageSpec) -> Dim:
    """The classes of a data set, for a dense layer that reads few features."""
    info = data.data.info()
    return data.options.dim(info.num_classes, CLASSES[info.image_shape[2]])


def many_features_classes(data: ImageSpec) -> Dim:
    """The classes of a data set, for a dense layer that reads many features."""
    return data.options.dim(data.data.info().num_classes, MANY_FEATURES_CLASSES)


def batch_rows(data: ImageSpec) -> Dim:
    """The examples of a minibatch."""
    return data.options.dim(data.batch_size, BATCH_SIZES)


def conv_windows(side: int, strides: Sequence[int], padding: Sequence[str]) -> list[Window]:
    """The windows of convolutions one after the other, with the padding that TensorFlow has.

    Padding "SAME" puts zeros around an image, the odd one at its end; "VALID" puts none.
    """
    windows = []
    for stride, kind in zip(strides, padding, strict=True):
        outputs = convolved_side(side, stride, kind)
        zeros = max((outputs - 1) * stride + KERNEL_SIDE - side, 0) // 2
        windows.append(Window(stride, zeros if kind == "SAME" else 0, Dim(outputs)))
        side = outputs
    return windows


def _on_canvas(windows: Sequence[Window], canvas: int, strides: Sequence[int]) -> list[Window]:
    """The same windows as inputs of a program, and such as are not used for further `strides`."""
    padded = []
    for index, stride in enumerate(strides):
        canvas = -(-canvas // stride)
        window = windows[index] if index < len(windows) else Window(stride, 0, Dim(1))
        outputs = Dim(canvas, np.int32(window.outputs.padded))
        skipped = np.int32(1 - window.zeros)
        padded.append(dataclasses.replace(window, zeros=1, outputs=outputs, skipped=skipped))
    return padded


def _whole_pattern(strides: Sequence[int]) -> tuple[int, ...]:
    """The first of TaskSet's patterns, which is the least work, that begins with `strides`."""
    patterns = (tuple(islice(cycle(pattern), DEPTHS[-1])) for pattern in STRIDES.values())
    return next(pattern for pattern in patterns if pattern[: len(strides)] == tuple(strides))
