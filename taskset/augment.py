"""Families made from families: the same tasks in other scales, precisions and conditions.

They make an optimizer meet more than its tasks offer (Metz et al. 2022, VeLO,
https://arxiv.org/abs/2211.09760, appendix). What is random is drawn for each task.
"""

import dataclasses
import math
from typing import Any, Literal, Self, TypeAlias

import jax
import jax.numpy as jnp

from taskset.base import Batch, Dataset, Key, Params, Task, TaskFamily
from taskset.errors import InputError, unknown_name

LARGEST_DELAY = 100
PRECISIONS = ("bfloat16", "float16")
Precision: TypeAlias = Literal["bfloat16", "float16"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class RescaledLoss(Task):
    """The loss of `task` times `scale`."""

    task: Task
    scale: jax.Array  # [] float32

    def init(self, key: Key) -> Params:
        return self.task.init(key)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        return self.task.loss(params, batch, key) * self.scale


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReparametrizedTask(Task):
    """`task` with each tensor of its parameters divided by a scale, at the same losses."""

    task: Task
    scales: Params  # a [] float32 for each tensor, in the structure of the parameters

    def init(self, key: Key) -> Params:
        return jax.tree.map(jnp.divide, self.task.init(key), self.scales)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        return self.task.loss(jax.tree.map(jnp.multiply, params, self.scales), batch, key)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReducedPrecisionTask(Task):
    """`task` whose loss sees parameters and floating-point examples rounded to `precision`.

    Gradients are rounded likewise; parameters themselves stay float32, as in mixed-precision
    training.
    """

    task: Task
    precision: Precision = dataclasses.field(metadata={"static": True})

    def init(self, key: Key) -> Params:
        return self.task.init(key)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        params, batch = jax.tree.map(self._rounded, (params, batch))
        return self.task.loss(params, batch, key)

    def _rounded(self, x: jax.Array) -> jax.Array:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return x
        return x.astype(self.precision).astype(x.dtype)


@dataclasses.dataclass(frozen=True)
class Augmented(TaskFamily):
    """A family made from `family`; an implementation says what is different."""

    family: TaskFamily

    @property
    def batch_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of `family`."""
        return self.family.batch_size

    @property
    def gradient_delay(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of `family`."""
        return self.family.gradient_delay

    def load_data(self) -> Dataset:
        return self.family.load_data()

    @property
    def num_shards(self) -> int:
        return self.family.num_shards

    def load_shard(self, index: int) -> Dataset:
        return self.family.load_shard(index)

    def sample(self, data: Dataset, key: Key) -> Task:
        return self.family.sample(data, key)

    def program(self) -> Self:
        return dataclasses.replace(self, family=self.family.program())


@dataclasses.dataclass(frozen=True)
class RescaleLoss(Augmented):
    """Losses times a log-uniform number in [1 / spread, spread]."""

    spread: float = 1000.0

    def __post_init__(self) -> None:
        _check_spread("rescale_loss", self.spread)

    def sample(self, data: Dataset, key: Key) -> RescaledLoss:
        key_task, key_scale = jax.random.split(key)
        return RescaledLoss(self.family.sample(data, key_task), _scale(key_scale, self.spread))


@dataclasses.dataclass(frozen=True)
class Reparametrize(Augmented):
    """Weights in units that are log-uniform in [1 / spread, spread]: one for all, or per tensor."""

    spread: float = 10.0
    per: Literal["task", "tensor"] = "tensor"

    def __post_init__(self) -> None:
        _check_spread("reparametrize", self.spread)
        if self.per not in {"task", "tensor"}:
            raise unknown_name("per of reparametrize", self.per, ("task", "tensor"))

    def sample(self, data: Dataset, key: Key) -> ReparametrizedTask:
        key_task, key_scale = jax.random.split(key)
        task = self.family.sample(data, key_task)
        shapes = jax.eval_shape(task.init, key)
        leaves, structure = jax.tree.flatten(shapes)
        keys = [key_scale] * len(leaves)
        if self.per == "tensor":
            keys = [jax.random.fold_in(key_scale, index) for index in range(len(leaves))]
        scales = [_scale(key, self.spread) for key in keys]
        return ReparametrizedTask(task, jax.tree.unflatten(structure, scales))


@dataclasses.dataclass(frozen=True)
class ReducePrecision(Augmented):
    """Parameters, examples and gradients of few bits, as seen by the loss."""

    precision: Precision = "bfloat16"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)

    def sample(self, data: Dataset, key: Key) -> ReducedPrecisionTask:
        return ReducedPrecisionTask(self.family.sample(data, key), self.precision)


@dataclasses.dataclass(frozen=True)
class DelayGradient(Augmented):
    """Gradients that reach the optimizer some steps late, as in asynchronous training.

    The first steps get zeros.
    """

    steps: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= LARGEST_DELAY:
            raise InputError(
                f"delay_gradient: steps is {self.steps}; it must be from 1 to {LARGEST_DELAY}"
            )

    @property
    def gradient_delay(self) -> int:
        """Steps in all."""
        return self.steps + self.family.gradient_delay


@dataclasses.dataclass(frozen=True)
class SmallerBatch(Augmented):
    """Minibatches of at most `examples` examples."""

    examples: int = 8

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise InputError(f"smaller_batch: examples is {self.examples}; it must be at least 1")

    @property
    def batch_size(self) -> int:
        """The lesser of `examples` and that of `family`."""
        return min(self.examples, self.family.batch_size)


AUGMENTATIONS: dict[str, type[Augmented]] = {
    "rescale_loss": RescaleLoss,
    "reparametrize": Reparametrize,
    "reduce_precision": ReducePrecision,
    "delay_gradient": DelayGradient,
    "smaller_batch": SmallerBatch,
}


def _scale(key: Key, spread: float) -> jax.Array:
    reach = math.log(spread)
    return jnp.exp(jax.random.uniform(key, minval=-reach, maxval=reach))


def _check_spread(name: str, spread: Any) -> None:
    if not 1 < spread < math.inf:
        raise InputError(f"{name}: spread is {spread}; it must be above 1 and finite")
