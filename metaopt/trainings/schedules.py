"""Momentum whose learning rates, decays, penalties and initial scales are all tuned.

Maclaurin et al. 2015 (https://arxiv.org/abs/1502.03492), section 3: each tensor of the parameters
has its own, and each step its own learning rates and decays.
"""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from metaopt import dynamics
from metaopt.domains import Between, Positive
from metaopt.hyperparameter_training import Training, Values
from metaopt.hyperparameters import Hyperparameter
from taskset.base import Batch, Key, Params, Task
from taskset.errors import InputError

NAMES = ("learning_rate", "decay", "penalty", "initial_scale")


@dataclasses.dataclass(frozen=True)
class Schedules(Training):
    """Of any task, whose parameters are `num_tensors`.

    "learning_rate" and "decay" are [num_steps, num_tensors]; "penalty", of half the squared norm,
    and "initial_scale", in units of the task's own, are [num_tensors]. Tensors are in the order of
    `jax.tree.leaves`. What is not `tuned` stays as it starts.

    Raises `InputError` for names in `tuned` that are none, and `init` for another number of
    tensors.
    """

    num_steps: int = 100
    num_tensors: int = 4
    tuned: tuple[str, ...] = ("learning_rate", "penalty")
    learning_rate: float = 0.1
    decay: float = 0.9
    penalty: float = 1e-4
    initial_scale: float = 1.0
    damped: bool = False  # a gradient counts 1 - decay, so that decays do not change the rate

    def __post_init__(self) -> None:
        for name in self.tuned:
            if name not in NAMES:
                raise InputError(f"tuned has {name!r}; names are {', '.join(NAMES)}")
        for name in ("num_steps", "num_tensors"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        self.hyperparameters()  # raises for starts that are out of range

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        by_step, by_tensor = (self.num_steps, self.num_tensors), (self.num_tensors,)
        every = {
            "learning_rate": Hyperparameter(self.learning_rate, Positive(), by_step),
            "decay": Hyperparameter(self.decay, Between(0.0, 1.0), by_step),
            "penalty": Hyperparameter(self.penalty, Positive(), by_tensor),
            "initial_scale": Hyperparameter(self.initial_scale, Positive(), by_tensor),
        }
        return {name: every[name] for name in self.tuned}

    def init(self, values: Values, task: Task, key: Key) -> Params:
        params = task.init(key)
        leaves, structure = jax.tree.flatten(params)
        if len(leaves) != self.num_tensors:
            raise InputError(
                f"training.num_tensors is {self.num_tensors}, and the task has {len(leaves)}; "
                f"use num_tensors = {len(leaves)}"
            )
        scales = self._of_tensors(values, "initial_scale")
        scaled = [scale.astype(x.dtype) * x for scale, x in zip(scales, leaves, strict=True)]
        return structure.unflatten(scaled)

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        pairs = zip(self._of_tensors(values, "penalty"), jax.tree.leaves(params), strict=True)
        loss = task.loss(params, batch, key)
        return loss + sum(0.5 * penalty * jnp.sum(jnp.square(x)) for penalty, x in pairs)

    def dynamics(self, values: Values) -> dynamics.Momentum:
        rate, decay = (values.get(name, getattr(self, name)) for name in ("learning_rate", "decay"))
        return dynamics.Momentum(rate, decay, self.damped)

    def _of_tensors(self, values: Values, name: str) -> list[jax.Array]:
        """The number of each tensor, []."""
        of_all = values.get(name, jnp.full(self.num_tensors, getattr(self, name)))
        return [of_all[index] for index in range(self.num_tensors)]
