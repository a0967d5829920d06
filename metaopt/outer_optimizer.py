"""The optimizer of the meta-parameters: one of optax, by name, or a learned one that was exported.

A learned optimizer that trains learned optimizers is the self-training of Metz et al. 2020
(https://arxiv.org/abs/2009.11243, section 5). It needs gradients clipped to 0.1, and is good for
about as many steps as it was meta-trained for.
"""

import dataclasses
import inspect
import math
import re
from typing import Literal, TypeAlias, get_args

import optax

from metaopt import exports
from taskset.errors import InputError, unknown_name

Schedule: TypeAlias = Literal["constant", "cosine", "linear"]


@dataclasses.dataclass(frozen=True)
class OuterOptimizer:
    """What follows the outer gradient.

    The gradient is clipped per coordinate, then by its global norm; then come the optimizer,
    decoupled weight decay, and the learning rate: a linear warm-up from 0, then the schedule down
    to `final_fraction` of the peak at the last outer step.

    A learned optimizer, from the export at `path`, takes the place of the named one, its options
    and the learning rate; what it is told is the meta-loss and the number of outer steps.
    """

    name: str = "adam"  # an optax optimizer that takes `learning_rate`
    learning_rate: float = 1e-3  # at its peak
    schedule: Schedule = "constant"
    warmup_steps: int = 0  # outer steps
    final_fraction: float = 0.0
    weight_decay: float = 0.0
    clip: float | None = None  # per coordinate (Metz et al. 2020, arXiv:2009.11243, use 0.1)
    clip_norm: float | None = None
    options: tuple[tuple[str, float], ...] = ()  # further arguments of the optax optimizer
    path: str | None = None  # of an exported learned optimizer

    def __post_init__(self) -> None:
        if self.name not in optimizer_names():
            raise unknown_name("optax optimizer", self.name, optimizer_names())
        if self.schedule not in get_args(Schedule):
            raise unknown_name("schedule", self.schedule, get_args(Schedule))
        for option, _ in self.options:
            if option not in _numeric_options(self.name):
                raise unknown_name(
                    f"option of optax.{self.name}", option, _numeric_options(self.name)
                )
        if not 0 < self.learning_rate < math.inf:
            raise InputError(
                f"outer learning_rate is {self.learning_rate}; it must be positive and finite"
            )
        for field in ("warmup_steps", "final_fraction", "weight_decay"):
            if not getattr(self, field) >= 0:
                raise InputError(f"outer {field} is {getattr(self, field)}; it must be at least 0")
        for field in ("clip", "clip_norm"):
            value = getattr(self, field)
            if value is not None and not value > 0:
                raise InputError(f"outer {field} is {value}; it must be positive, or left out")

    def build(self, num_steps: int) -> optax.GradientTransformationExtraArgs:
        """The optax optimizer for a run of `num_steps` outer steps.

        Raises `InputError` when what is at `path` is no sound export.
        """
        clip = optax.identity() if self.clip is None else optax.clip(self.clip)
        norm = (
            optax.identity()
            if self.clip_norm is None
            else optax.clip_by_global_norm(self.clip_norm)
        )
        decay = optax.add_decayed_weights(-self.weight_decay)
        if self.path is not None:
            learned = exports.load(self.path, num_steps=num_steps)
            return optax.chain(clip, norm, learned, decay)
        # At rate 1 the optimizer gives the negative direction, so decay and rate apply to it after.
        direction = getattr(optax, self.name)(learning_rate=1.0, **dict(self.options))
        rate = optax.scale_by_schedule(self.rate(num_steps))
        chain = optax.chain(clip, norm, direction, decay, rate)
        return optax.with_extra_args_support(chain)

    def rate(self, num_steps: int) -> optax.Schedule:
        """The learning rate by outer step."""
        after = max(1, num_steps - self.warmup_steps)
        peak, end = self.learning_rate, self.learning_rate * self.final_fraction
        main = {
            "constant": optax.constant_schedule(peak),
            "cosine": optax.cosine_decay_schedule(peak, after, alpha=self.final_fraction),
            "linear": optax.linear_schedule(peak, end, after),
        }[self.schedule]
        if not self.warmup_steps:
            return main
        warmup = optax.linear_schedule(0.0, peak, self.warmup_steps)
        return optax.join_schedules([warmup, main], [self.warmup_steps])


def _numeric_options(name: str) -> list[str]:
    """The arguments of an optax optimizer that take a number, the learning rate apart."""
    arguments = inspect.signature(getattr(optax, name)).parameters
    return [key for key in arguments if not re.search("learning_rate|mask|dtype|key", key)]


def optimizer_names() -> list[str]:
    """The optax optimizers that `OuterOptimizer` can name."""
    return [
        name
        for name, value in vars(optax).items()
        if inspect.isfunction(value)
        and inspect.signature(value).return_annotation
        in (optax.GradientTransformation, optax.GradientTransformationExtraArgs)
        and next(iter(inspect.signature(value).parameters), None) == "learning_rate"
        # `build` applies the rate last, and the update of fromage is not proportional to it.
        and not name.startswith(("_", "scale_by", "lbfgs", "fromage"))
    ]
