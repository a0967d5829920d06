"""MLPs on momenta: that of google/learned_optimization, and that of 2019."""

import abc
import dataclasses
from collections.abc import Sequence

import torch

from metaopt.torch.architecture import (
    Architecture,
    Run,
    Shapes,
    Slot,
    State,
    Weights,
    averaged,
    column,
)
from metaopt.torch.features import time_features
from metaopt.torch.network import apply_to_features, network_shapes


@dataclasses.dataclass(frozen=True)
class MomentumNetwork(Architecture):
    """What the two have in common."""

    hidden_size: int
    step_multiplier: float
    exp_multiplier: float
    time_scales: tuple[float, ...]
    scale_epsilon: float

    @abc.abstractmethod
    def features(self, slot: Slot) -> torch.Tensor:
        """The features of a tensor, [k, *shape], after its state is moved on."""

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        updates = []
        for slot in slots:
            features = self.features(slot).reshape(-1, slot.param.numel())
            time = time_features(run.step, self.time_scales, slot.param)
            network = weights.like(slot.param)
            outputs = apply_to_features(network, features, time, self.scale_epsilon)
            direction, magnitude = outputs.reshape(2, *slot.param.shape)
            step = self.step_multiplier * direction * torch.exp(self.exp_multiplier * magnitude)
            updates.append(-step)
        return updates


@dataclasses.dataclass(frozen=True)
class PerParameterMLP(MomentumNetwork):
    """See `metaopt.learned_optimizers.PerParameterMLP`."""

    momentum_decays: tuple[float, ...]

    def shapes(self) -> Shapes:
        num_inputs = 2 + len(self.momentum_decays) + len(self.time_scales)
        return network_shapes((num_inputs, self.hidden_size, self.hidden_size, 2))

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        return {"momentum": param.new_zeros(len(self.momentum_decays), *param.shape)}

    def features(self, slot: Slot) -> torch.Tensor:
        decays = column(self.momentum_decays, slot.gradient)
        momentum = averaged(slot.state["momentum"], decays, slot.gradient)
        return torch.cat([slot.gradient[None], slot.param[None], momentum])


@dataclasses.dataclass(frozen=True)
class PerParameterMLP2019(MomentumNetwork):
    """See `metaopt.learned_optimizers.PerParameterMLP2019`."""

    second_moments: bool
    decays: tuple[float, ...]
    root_epsilon: float

    def shapes(self) -> Shapes:
        of_gradient = len(self.decays) * (2 if self.second_moments else 1)
        num_inputs = 2 + of_gradient + len(self.time_scales)
        return network_shapes((num_inputs, self.hidden_size, 2))

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        names = ("momentum", "second_moment") if self.second_moments else ("momentum",)
        return {name: param.new_zeros(len(self.decays), *param.shape) for name in names}

    def features(self, slot: Slot) -> torch.Tensor:
        decays = column(self.decays, slot.gradient)
        momentum = averaged(slot.state["momentum"], decays, slot.gradient)
        parts = [slot.gradient[None], momentum, slot.param[None]]
        if self.second_moments:
            second = averaged(slot.state["second_moment"], decays, slot.gradient.square())
            parts.insert(1, momentum * torch.rsqrt(second + self.root_epsilon))
        return torch.cat(parts)
