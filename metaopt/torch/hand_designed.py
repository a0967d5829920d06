"""Hand-designed optimizers whose hyper-parameters are the meta-parameters, in log space."""

# What all optimizers of PyTorch are made of has no public names.
# pyright: reportPrivateImportUsage=false

import abc
import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from metaopt.torch.architecture import CPU, Architecture, Run, Shapes, Slot, State, Weights
from taskset.errors import InputError

Tensors: TypeAlias = list[torch.Tensor]


@dataclasses.dataclass(frozen=True)
class HandDesigned(Architecture):
    """What their learning rates have in common."""

    learning_rate: float
    num_tensors: int
    num_knots: int

    accumulators = ()

    def shapes(self) -> Shapes:
        return {"log_learning_rate": (self.num_tensors, self.num_knots)}

    def check(self, num_steps: int | None) -> None:
        if self.num_knots > 1 and num_steps is None:
            raise InputError(
                f"a learning rate with {self.num_knots} knots needs the length of training: "
                "give num_steps"
            )

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        return {name: torch.zeros_like(param) for name in self.accumulators}

    @abc.abstractmethod
    def steps(self, weights: dict, gradients: Tensors, slots: Sequence[Slot], step: int) -> Tensors:
        """How far the tensors go down, without the learning rate; none is one of a state."""

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        on_cpu = weights.on(CPU)
        rates = self._rates(on_cpu["log_learning_rate"].numpy(), run)
        steps = self.steps(on_cpu, [slot.gradient for slot in slots], slots, run.step)
        torch._foreach_mul_(steps, [-float(rates[slot.position % len(rates)]) for slot in slots])
        return steps

    def _rates(self, knots: np.ndarray, run: Run) -> np.ndarray:
        """[1], or [tensors]."""
        if len(knots) not in {1, run.num_tensors}:
            raise InputError(
                f"there are learning rates for {len(knots)} tensors, and the parameters have "
                f"{run.num_tensors}; they must be as many, or 1 for all"
            )
        if self.num_knots == 1 or run.num_steps is None:
            return np.exp(knots[:, 0])
        progress = min(max(run.step / max(1, run.num_steps - 1), 0.0), 1.0)
        distance = np.abs(progress * (self.num_knots - 1) - np.arange(self.num_knots))
        return np.exp(knots @ np.maximum(0.0, 1.0 - distance).astype(np.float32))


@dataclasses.dataclass(frozen=True)
class LearnableSGD(HandDesigned):
    """See `metaopt.learned_optimizers.LearnableSGD`."""

    def steps(self, weights: dict, gradients: Tensors, slots: Sequence[Slot], step: int) -> Tensors:
        return list(torch._foreach_mul(gradients, 1.0))


@dataclasses.dataclass(frozen=True)
class LearnableMomentum(HandDesigned):
    """See `metaopt.learned_optimizers.LearnableMomentum`."""

    momentum: float

    accumulators = ("momentum",)

    def shapes(self) -> Shapes:
        return super().shapes() | {"log_one_minus_momentum": ()}

    def steps(self, weights: dict, gradients: Tensors, slots: Sequence[Slot], step: int) -> Tensors:
        momentum = [slot.state["momentum"] for slot in slots]
        torch._foreach_mul_(momentum, 1.0 - _forgotten(weights["log_one_minus_momentum"]))
        torch._foreach_add_(momentum, gradients)
        return list(torch._foreach_mul(momentum, 1.0))


@dataclasses.dataclass(frozen=True)
class LearnableAdam(HandDesigned):
    """See `metaopt.learned_optimizers.LearnableAdam`."""

    b1: float
    b2: float
    epsilon: float

    accumulators = ("first", "second")

    def shapes(self) -> Shapes:
        names = ("log_one_minus_b1", "log_one_minus_b2", "log_epsilon")
        return super().shapes() | dict.fromkeys(names, ())

    def steps(self, weights: dict, gradients: Tensors, slots: Sequence[Slot], step: int) -> Tensors:
        first, second = ([slot.state[name] for slot in slots] for name in self.accumulators)
        shares = [_forgotten(weights[f"log_one_minus_{name}"]) for name in ("b1", "b2")]
        torch._foreach_lerp_(first, gradients, shares[0])
        torch._foreach_mul_(second, 1.0 - shares[1])
        torch._foreach_addcmul_(second, gradients, gradients, shares[1])
        known = [_known(share, step + 1) for share in shares]
        scales = torch._foreach_div(second, known[1])
        torch._foreach_sqrt_(scales)
        torch._foreach_add_(scales, float(weights["log_epsilon"].exp()))
        torch._foreach_mul_(scales, known[0])
        return list(torch._foreach_div(first, scales))


def _forgotten(log_one_minus: torch.Tensor) -> float:
    return min(float(log_one_minus.exp()), 1.0)


def _known(forgotten: float, count: int) -> float:
    """1 - decay^count, the share of an average that is not its start."""
    return 1.0 if forgotten == 1.0 else float(-np.expm1(count * np.log1p(-forgotten)))
