"""Small tasks that share one program: regressions, classifiers and MLPs, on digits or by a teacher.

What a task is like comes from its number. Digits or normal inputs, with 64 features of random
scales; labels in 2 to 10 classes, or those of a random network, the teacher; cross-entropy or the
squared distance from a linear teacher, which is a quadratic; no hidden layer, or 8 to 64 units.
"""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Dataset, Key, Params, Task, TaskFamily
from taskset.data import sources

NUM_FEATURES, NUM_CLASSES, WIDEST = 64, 10, 64


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SmallTask(Task):
    """One of them; all have the parameters of the largest, and some of these do nothing."""

    scales: jax.Array  # [64], of the features
    of_digits: jax.Array  # [] bool; else inputs are normal
    by_teacher: jax.Array  # [] bool; else classes are those of digits
    squared: jax.Array  # [] bool; else cross-entropy
    units: jax.Array  # [64] bool, of the hidden layer
    classes: jax.Array  # [10] int32, what each digit counts as
    teacher: jax.Array  # [64, 10]

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


def describe(number: jax.Array) -> SmallTask:
    """The task of a number, [] int32."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(14), number), 9)
    coin = jax.random.bernoulli
    log_uniform = lambda key, low, high, shape=(): jnp.exp(
        jax.random.uniform(key, shape, minval=jnp.log(low), maxval=jnp.log(high))
    )
    squared = coin(keys[0], 0.25)
    has_units = coin(keys[1], 0.7) & ~squared
    width = jnp.where(has_units, log_uniform(keys[2], 8.0, float(WIDEST + 1)), 0.0)
    num_classes = jax.random.randint(keys[3], (), 2, NUM_CLASSES + 1)
    shuffled = jax.random.permutation(keys[4], NUM_CLASSES)
    return SmallTask(
        scales=log_uniform(keys[6], 0.3, 3.0, (NUM_FEATURES,)),
        of_digits=coin(keys[7], 0.6),
        by_teacher=coin(keys[5], 0.4),
        squared=squared,
        units=jnp.arange(WIDEST) < width,
        classes=shuffled % num_classes,
        teacher=jax.random.normal(keys[8], (NUM_FEATURES, NUM_CLASSES)) / 8.0,
    )


@dataclasses.dataclass(frozen=True)
class SmallTasks(TaskFamily):
    """The tasks of the numbers from `first` on, each as likely as the others."""

    first: int
    number: int
    batch_size: int = 64

    def load_data(self) -> Dataset:
        return sources.load("digits", "embedded")

    def sample(self, data: Dataset, key: Key) -> SmallTask:
        del data
        return describe(self.first + jax.random.randint(key, (), 0, self.number))
