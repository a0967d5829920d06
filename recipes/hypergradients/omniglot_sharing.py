"""Which alphabets should share which layers: ten networks, and three matrices that tie them.

Maclaurin et al. 2015 (https://arxiv.org/abs/1502.03492), section 3.4. Not run here: see
`full_size.py`, and `task_sharing.py` for a small one. Data are a file of numpy with `image`, [10
alphabets, 55 characters, 15 drawings, 784] from 0 to 1, the last five alphabets being the first
ones rotated, and `number`, [10], of characters; the others are padding.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from classification import cross_entropies
from task_sharing import partly_tied

from metaopt import dynamics
from metaopt.estimators import FullBackprop
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from taskset.base import Batch, Dataset, Key, Params, Split, Task, TaskFamily
from taskset.data.arrays import ArrayDataset
from taskset.errors import InputError

ALPHABETS, CHARACTERS, PIXELS = 10, 55, 784
SIZES = (PIXELS, 400, 200, CHARACTERS)
# Of the 12 drawings that are not for testing, 10 train: a fixed choice, where the paper's changes.
DRAWINGS: dict[Split, slice] = {
    "train": slice(0, 10),
    "outer_valid": slice(10, 12),
    "test": slice(12, 15),
}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Scripts(Task):
    """Networks of all alphabets; the loss is the sum of the mean cross-entropies of each."""

    def init(self, key: Key) -> Params:
        def layer(key: Key, inputs: int, outputs: int) -> dict[str, jax.Array]:
            draw = lambda key, *shape: math.exp(-2) * jax.random.normal(key, (ALPHABETS, *shape))
            key_weight, key_bias = jax.random.split(key)
            return {"weight": draw(key_weight, inputs, outputs), "bias": draw(key_bias, 1, outputs)}

        keys = jax.random.split(key, len(SIZES) - 1)
        return [layer(*each) for each in zip(keys, SIZES, SIZES[1:], strict=False)]

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        hidden = batch["image"]  # [alphabets, drawings, pixels]
        for index, layer in enumerate(params):
            hidden = hidden if index == 0 else jnp.tanh(hidden)
            hidden = jnp.einsum("ani,aio->ano", hidden, layer["weight"]) + layer["bias"]
        losses = cross_entropies(hidden, batch["label"]) * batch["is_real"]
        return jnp.sum(jnp.sum(losses, 1) / jnp.sum(batch["is_real"], 1)) / ALPHABETS


@dataclasses.dataclass(frozen=True)
class Omniglot(TaskFamily):
    """Alphabets of a file."""

    file: str
    batch_size = 1  # batches are whole

    def load_data(self) -> ArrayDataset:
        try:
            with np.load(self.file) as found:
                image, number = found["image"].astype(np.float32), found["number"]
        except OSError as error:
            raise InputError(
                f"cannot read {self.file}: {error}; make it as this recipe says"
            ) from None
        label = np.broadcast_to(
            np.arange(CHARACTERS, dtype=np.int32)[None, :, None], image.shape[:3]
        )
        is_real = (label < number[:, None, None]).astype(np.float32)

        def flat(array: np.ndarray, of: slice) -> jax.Array:
            chosen = array[:, :, of]
            return jnp.asarray(chosen.reshape(ALPHABETS, -1, *array.shape[3:]))

        arrays = {"image": image, "label": label, "is_real": is_real}
        return ArrayDataset(
            {split: {k: flat(v, of) for k, v in arrays.items()} for split, of in DRAWINGS.items()}
        )

    def shapes(self) -> ArrayDataset:
        """Of the data."""

        def batch(drawings: int) -> dict[str, jax.ShapeDtypeStruct]:
            shape = (ALPHABETS, CHARACTERS * drawings)
            like = jax.ShapeDtypeStruct
            return {
                "image": like((*shape, PIXELS), jnp.float32),
                "label": like(shape, jnp.int32),
                "is_real": like(shape, jnp.float32),
            }

        return ArrayDataset({split: batch(of.stop - of.start) for split, of in DRAWINGS.items()})

    def sample(self, data: Dataset, key: Key) -> Scripts:
        return Scripts()


@dataclasses.dataclass(frozen=True)
class SharingOfLayers(Training):
    """A matrix for each layer, half tied at the start."""

    def hyperparameters(self) -> Hyperparameters:
        names = [f"departure{layer}" for layer in range(len(SIZES) - 1)]
        return {name: Hyperparameter(0.0, shape=(ALPHABETS, ALPHABETS)) for name in names}

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        squares = sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(params))
        return self.outer_loss(values, task, params, batch, key) + math.exp(-4) * squares

    def outer_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        shared = []
        for index, layer in enumerate(params):
            sharing = partly_tied(0.5, ALPHABETS) + values[f"departure{index}"]
            mix = lambda x, sharing=sharing: jnp.tensordot(sharing, x, 1)
            shared.append(jax.tree.map(mix, layer))
        return task.loss(shared, batch, key)

    def dynamics(self, values: Values) -> dynamics.Momentum:
        return dynamics.Momentum(1.0, 0.9, damped=True)


def estimator(file: str) -> FullBackprop:
    """Of the final held-out loss, after 50 steps."""
    problem = HyperparameterTraining(Omniglot(file), SharingOfLayers(), "whole")
    return FullBackprop(problem, 1, Fixed(50), objective="final")
