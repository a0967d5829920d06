"""Small tasks that share one program: regressions, classifiers and MLPs, on digits or by a teacher.

What a task is like comes from its number. Digits or normal inputs, with 64 features of random
scales; labels in 2 to 10 classes, or those of a random network, the teacher; cross-entropy or the
squared distance from a linear teacher, which is a quadratic; no hidden layer, or 8 to 64 units.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Batch, Dataset, Key, Params, Split, Task, TaskFamily
from taskset.data import sources

NUM_FEATURES, NUM_CLASSES, WIDEST = 64, 10, 64
MOST = 64  # tasks of a family


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SmallTask(Task):
    """One of them; all have the parameters of the largest, and some of these do nothing."""

    scales: Any  # [64], of the features
    of_digits: Any  # [] bool; else inputs are normal
    by_teacher: Any  # [] bool; else classes are those of digits
    squared: Any  # [] bool; else cross-entropy
    units: Any  # [64] bool, of the hidden layer
    classes: Any  # [10] int32, what each digit counts as
    teacher: Any  # [64, 10]

    def init(self, key: Key) -> Params:
        keys = jax.random.split(key, 2)
        shapes = ((NUM_FEATURES, WIDEST), (WIDEST, NUM_CLASSES))
        weights = [
            jax.random.normal(key, shape) * shape[0] ** -0.5
            for key, shape in zip(keys, shapes, strict=True)
        ]
        layers = {
            f"layer{index}": {"weight": weight, "bias": jnp.zeros(weight.shape[1])}
            for index, weight in enumerate(weights)
        }
        return {**layers, "linear": jnp.zeros((NUM_FEATURES, NUM_CLASSES))}

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        images = batch["image"].reshape(-1, NUM_FEATURES).astype(jnp.float32) / 255.0
        drawn = jax.random.normal(key, images.shape)
        inputs = jnp.where(self.of_digits, images, drawn)
        taught = inputs @ self.teacher
        labels = jnp.where(
            self.by_teacher, jnp.argmax(jnp.sin(3.0 * taught), axis=1), self.classes[batch["label"]]
        )
        outputs = self._outputs(params, inputs * self.scales[None])
        log_probabilities = jax.nn.log_softmax(outputs)
        entropy = -jnp.mean(jnp.take_along_axis(log_probabilities, labels[:, None], axis=1))
        return jnp.where(self.squared, jnp.mean(jnp.square(outputs - taught)), entropy)

    def _outputs(self, params: Params, inputs: jax.Array) -> jax.Array:
        row = lambda bias: bias[None]
        first, second = params["layer0"], params["layer1"]
        hidden = jax.nn.relu(inputs @ first["weight"] + row(first["bias"])) * row(self.units)
        has_units = jnp.any(self.units)
        above = hidden @ second["weight"] + row(second["bias"])
        return jnp.where(has_units, above, inputs @ params["linear"] + row(second["bias"]))


def describe(number: int) -> SmallTask:
    """The task of a number, as numpy arrays."""
    draw = np.random.RandomState(number)
    log_uniform = lambda low, high, size=None: np.exp(draw.uniform(np.log(low), np.log(high), size))
    squared = draw.rand() < 0.25
    width = 0 if squared or draw.rand() < 0.3 else int(log_uniform(8, WIDEST + 1))
    classes = draw.permutation(NUM_CLASSES) % draw.randint(2, NUM_CLASSES + 1)
    return SmallTask(
        scales=log_uniform(0.3, 3.0, NUM_FEATURES).astype(np.float32),
        of_digits=np.asarray(draw.rand() < 0.6),
        by_teacher=np.asarray(draw.rand() < 0.4),
        squared=np.asarray(squared),
        units=np.arange(WIDEST) < width,
        classes=classes.astype(np.int32),
        teacher=(draw.randn(NUM_FEATURES, NUM_CLASSES) / 8.0).astype(np.float32),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WithTasks(Dataset):
    """Digits, and the tasks to choose from."""

    digits: Dataset
    tasks: SmallTask  # leaves [MOST, ...]
    number: jax.Array  # [] int32, of those that count

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        return self.digits.sample(split, key, batch_size)

    def whole(self, split: Split) -> Batch:
        return self.digits.whole(split)


@dataclasses.dataclass(frozen=True)
class SmallTasks(TaskFamily):
    """The tasks of the numbers from `first` on, each as likely as the others."""

    first: int
    number: int
    batch_size: int = 64

    def load_data(self) -> WithTasks:
        described = [describe(self.first + i % self.number) for i in range(MOST)]
        tasks = jax.tree.map(lambda *arrays: jnp.asarray(np.stack(arrays)), *described)
        digits = sources.load("digits", "embedded")
        return WithTasks(digits, tasks, jnp.asarray(self.number, jnp.int32))

    def sample(self, data: Dataset, key: Key) -> SmallTask:
        assert isinstance(data, WithTasks)
        chosen = jax.random.randint(key, (), 0, data.number)
        return jax.tree.map(lambda leaf: leaf[chosen], data.tasks)

    def program(self) -> "SmallTasks":
        return SmallTasks(0, 0, self.batch_size)
