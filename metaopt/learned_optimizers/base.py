"""The interface of every learned optimizer."""

import abc
import dataclasses
from typing import Any, TypeAlias

import optax

from taskset.base import Key

MetaParams: TypeAlias = Any  # pytree of float32 arrays: the weights of a learned optimizer


@dataclasses.dataclass(frozen=True)
class LearnedOptimizer(abc.ABC):
    """An optimizer with weights. A frozen configuration of plain values; the weights are passed in."""

    @abc.abstractmethod
    def init(self, key: Key) -> MetaParams:
        """Draws untrained weights."""

    @abc.abstractmethod
    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        """The optimizer that these weights describe.

        `update(gradients, state, params, value=loss)` returns what to add to `params`, with the
        structure and dtypes of the gradients. `value` is optional and ignored where the
        architecture does not look at the loss; unknown extra arguments are ignored.

        `num_steps`, the announced length of training, is used by architectures that know their
        horizon and ignored by the others. `update` raises `ValueError` without `params`.
        """
