"""A tiny MLP on Adam and Adafactor statistics, alone or beside a step that is known to be good."""

import abc
import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import torch

from metaopt.torch.architecture import CPU, Run, Shapes, Slot, State, Weights
from metaopt.torch.factored_features import NUM_FEATURES, Decays, FactoredArchitecture
from metaopt.torch.features import offset_decays, time_features
from metaopt.torch.network import network_shapes


@dataclasses.dataclass(frozen=True)
class FactoredNetwork(FactoredArchitecture):
    """What an MLP on these features and learned decays have in common, whatever its outputs do."""

    num_outputs: ClassVar[int]

    hidden_size: int
    step_multiplier: float
    exp_multiplier: float
    time_scales: tuple[float, ...]

    @abc.abstractmethod
    def step(self, outputs: torch.Tensor, slot: Slot) -> torch.Tensor:
        """How far the parameters of a tensor go down; `outputs` are [outputs, *shape]."""

    def shapes(self) -> Shapes:
        num_inputs = NUM_FEATURES + len(self.time_scales)
        sizes = (num_inputs, self.hidden_size, self.hidden_size, self.num_outputs)
        return {
            **network_shapes(sizes, "network."),
            "momentum_decay": (len(self.momentum_decays),),
            "second_moment_decay": (len(self.second_moment_decays),),
            "factored_decay": (len(self.factored_decays),),
        }

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        return self.zero_statistics(param)

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        decays = self._decays(weights)
        updates = []
        for slot in slots:
            self.accumulate(slot.gradient, slot.state, decays)
            time = time_features(run.step, self.time_scales, slot.param)
            network = weights.like(slot.param)["network"]
            updates.append(-self.step(self.apply_to_statistics(network, slot, time), slot))
        return updates

    def _decays(self, weights: Weights) -> Decays:
        learned = weights.on(CPU)
        momentum = offset_decays(self.momentum_decays, learned["momentum_decay"])
        second = offset_decays(self.second_moment_decays, learned["second_moment_decay"])
        factored = offset_decays(self.factored_decays, learned["factored_decay"]).clamp(0, 1)
        second_moment = second.clamp(0, 1).tolist()[0]
        return Decays(tuple(momentum.tolist()), second_moment, tuple(factored.tolist()))


@dataclasses.dataclass(frozen=True)
class FactoredMLP(FactoredNetwork):
    """See `metaopt.learned_optimizers.FactoredMLP`."""

    num_outputs: ClassVar[int] = 2

    def step(self, outputs: torch.Tensor, slot: Slot) -> torch.Tensor:
        direction, magnitude = outputs
        return self.step_multiplier * direction * torch.exp(self.exp_multiplier * magnitude)


@dataclasses.dataclass(frozen=True)
class STAR(FactoredNetwork):
    """See `metaopt.learned_optimizers.STAR`."""

    num_outputs: ClassVar[int] = 4

    nominal_learning_rate: float
    weight_decay: float

    def step(self, outputs: torch.Tensor, slot: Slot) -> torch.Tensor:
        direction, magnitude, *of_tensor = outputs
        nominal, decay = (torch.exp(self.exp_multiplier * x.mean()) for x in of_tensor)
        mean_momentum = slot.state["momentum"].mean(0)
        learned = self.step_multiplier * direction * torch.exp(self.exp_multiplier * magnitude)
        towards = self.nominal_learning_rate * nominal * mean_momentum + learned
        inverse_root = torch.rsqrt(slot.state["second_moment"] + self.root_epsilon)
        return towards * inverse_root + self.weight_decay * decay * slot.param
