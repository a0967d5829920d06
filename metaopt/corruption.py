"""Noise in the minibatches of the outer loss: optimizers that train robust models.

The inner training sees the data as they are; what is asked of it is a low loss on corrupted ones
(Metz et al. 2019, "Using learned optimizers to make models robust to input noise",
https://arxiv.org/abs/1906.03367).
"""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Batch, Key
from taskset.errors import InputError

INPUTS = ("image", "rows")  # the real numbers of a batch that a model sees
BYTE = 255.0  # images may be bytes; their noise is in units of the brightest


@dataclasses.dataclass(frozen=True)
class Corruption:
    """What is done to a minibatch."""

    input_noise: float = 0.0  # standard deviation of normal noise, in units of the inputs
    label_noise: float = 0.0  # share of labels that become those of other examples of the batch

    def __post_init__(self) -> None:
        if not 0 <= self.input_noise < float("inf"):
            raise InputError(
                f"problem.input_noise is {self.input_noise}; it must be at least 0 and finite"
            )
        if not 0 <= self.label_noise <= 1:
            raise InputError(
                f"problem.label_noise is {self.label_noise}; it must be between 0 and 1"
            )

    def apply(self, batch: Batch, key: Key) -> Batch:
        """`batch`, a mapping, with noise in it. Raises `InputError` where it has no such entry."""
        key_inputs, key_labels = jax.random.split(key)
        if self.input_noise:
            name = _entry(batch, INPUTS, "input_noise")
            batch = {**batch, name: self._noisy(batch[name], key_inputs)}
        if self.label_noise:
            name = _entry(batch, ("label",), "label_noise")
            batch = {**batch, name: self._relabelled(batch[name], key_labels)}
        return batch

    def _noisy(self, inputs: jax.Array, key: Key) -> jax.Array:
        is_bytes = inputs.dtype == jnp.uint8
        values = inputs.astype(jnp.float32) / (BYTE if is_bytes else 1.0)
        return values + self.input_noise * jax.random.normal(key, values.shape)

    def _relabelled(self, labels: jax.Array, key: Key) -> jax.Array:
        key_other, key_which = jax.random.split(key)
        other = jax.random.permutation(key_other, labels)
        return jnp.where(
            jax.random.bernoulli(key_which, self.label_noise, labels.shape), other, labels
        )


def _entry(batch: Batch, names: tuple[str, ...], option: str) -> str:
    found = [name for name in names if isinstance(batch, dict) and name in batch]
    if not found:
        raise InputError(
            f"problem.{option} is for tasks with {' or '.join(names)} in their batches; "
            "set it to 0 for this task"
        )
    return found[0]
