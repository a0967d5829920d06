"""Optimizers with one meta-parameter, their learning rate.

They take the place of a learned optimizer in every inner run, and a grid of rates is a stack of
meta-parameters.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from metaopt.learned_optimizers.base import LearnedOptimizer, MetaParams
from taskset.base import Key
from taskset.errors import InputError, unknown_name

Schedule: TypeAlias = Literal["constant", "cosine"]
SCHEDULES: tuple[Schedule, ...] = ("constant", "cosine")

# Everything but the rate is as optax has it by default, and the momentum is .9.
RULES: Mapping[str, Callable[[Any], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": partial(optax.sgd, momentum=0.9),
    "adamw": optax.adamw,  # https://arxiv.org/abs/1711.05101, weight decay 1e-4
    "adagrad": optax.adagrad,  # https://jmlr.org/papers/v12/duchi11a.html
    "rmsprop": optax.rmsprop,
    "lion": optax.lion,  # https://arxiv.org/abs/2302.06675, weight decay 1e-3
    "muon": optax.contrib.muon,  # matrices; Adam at the same rate on the other tensors
    "schedule_free": optax.contrib.schedule_free_adamw,  # https://arxiv.org/abs/2405.15682
}


@dataclasses.dataclass(frozen=True)
class OneRate(LearnedOptimizer):
    """An optimizer at a constant rate, or one that decays to 0.

    The meta-parameters are `{"learning_rate": [] float32}`.
    """

    schedule: Schedule = "constant"

    def init(self, key: Key) -> MetaParams:
        del key
        return {"learning_rate": jnp.asarray(1e-3, jnp.float32)}

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        """With the cosine schedule, `num_steps` is where the rate reaches 0."""
        rate = self._rate(meta_params["learning_rate"], num_steps)
        return optax.with_extra_args_support(self._at(rate))

    @abc.abstractmethod
    def _at(self, rate: Any) -> optax.GradientTransformation:
        """The optimizer at a rate, [] float32, or a schedule of rates."""

    def _rate(self, peak: jax.Array, num_steps: int | None) -> Any:
        if self.schedule == "constant":
            return peak
        if num_steps is None:
            name = type(self).__name__
            raise InputError(f"{name} with cosine decay needs num_steps, the length of training")
        decay = optax.cosine_decay_schedule(1.0, num_steps)
        return lambda count: peak * decay(count)


@dataclasses.dataclass(frozen=True)
class Adam(OneRate):
    """Adam (https://arxiv.org/abs/1412.6980)."""

    def _at(self, rate: Any) -> optax.GradientTransformation:
        return optax.chain(optax.scale_by_adam(), optax.scale_by_learning_rate(rate))


@dataclasses.dataclass(frozen=True)
class Rule(OneRate):
    """One of `RULES`. Raises `InputError` for another name."""

    name: str = "sgd"

    def __post_init__(self) -> None:
        if self.name not in RULES:
            raise unknown_name("update rule", self.name, RULES)

    def _at(self, rate: Any) -> optax.GradientTransformation:
        return RULES[self.name](rate)

    def evaluation_params(self, opt_state: Any, params: Any) -> Any:
        """Of the schedule-free optimizer, the average that is its result."""
        if self.name == "schedule_free":
            return optax.contrib.schedule_free_eval_params(opt_state, params)
        return params
