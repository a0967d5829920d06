"""Adam as an optimizer with one meta-parameter, its learning rate.

So it takes the place of a learned optimizer in every inner run, and a grid of rates is a stack of
meta-parameters.
"""

import dataclasses
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers.base import LearnedOptimizer, MetaParams
from taskset.base import Key
from taskset.errors import InputError

Schedule: TypeAlias = Literal["constant", "cosine"]
SCHEDULES: tuple[Schedule, ...] = ("constant", "cosine")


@dataclasses.dataclass(frozen=True)
class Adam(LearnedOptimizer):
    """Adam (https://arxiv.org/abs/1412.6980) at a constant rate, or one that decays to 0.

    The meta-parameters are `{"learning_rate": [] float32}`.
    """

    schedule: Schedule = "constant"

    def init(self, key: Key) -> MetaParams:
        del key
        return {"learning_rate": jnp.asarray(1e-3, jnp.float32)}

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        """Adam; with the cosine schedule, `num_steps` is where the rate reaches 0."""
        return optax.with_extra_args_support(
            optax.chain(
                optax.scale_by_adam(),
                optax.scale_by_learning_rate(self._rate(meta_params["learning_rate"], num_steps)),
            )
        )

    def _rate(self, peak: jax.Array, num_steps: int | None) -> optax.ScalarOrSchedule:
        if self.schedule == "constant":
            return peak
        if num_steps is None:
            raise InputError("Adam with cosine decay needs num_steps, the length of training")
        decay = optax.cosine_decay_schedule(1.0, num_steps)
        return lambda count: peak * decay(count)
