"""How far training has come and how its loss goes."""

import dataclasses
from typing import Any

import numpy as np
import torch

from metaopt.torch.architecture import Slot, State
from metaopt.torch.factored_features import FactoredArchitecture


@dataclasses.dataclass(frozen=True)
class ScheduledArchitecture(FactoredArchitecture):
    """What architectures that look at these have in common; `longest` is that of an average."""

    fractions: tuple[float, ...]
    num_loss_averages: int
    shortest_average: float
    loss_cap: float
    least_loss_distance: float
    first_steps: int

    @property
    def num_schedule_features(self) -> int:
        """How many numbers there are."""
        return len(self.fractions) + self.num_loss_averages - 1

    def no_losses(self, like: torch.Tensor) -> State:
        """What is remembered of the loss before the first."""
        zeros = like.new_zeros(self.num_loss_averages, dtype=torch.float32)
        most = torch.full_like(zeros, torch.finfo(torch.float32).max)
        return {"average": zeros, "least": most, "num_seen": zeros.new_zeros(())}

    def observe(self, state: State, loss: torch.Tensor | None, longest: int) -> None:
        """Moves the averages of the loss on, unless it is None or not finite."""
        if loss is None:
            return
        usable, num_seen = torch.isfinite(loss), state["num_seen"]
        decays = self._decays(longest, loss)
        cap = self.loss_cap * self._unbiased(state, longest).max().abs()
        counted = torch.where(num_seen > 0, torch.minimum(loss, cap), loss)
        average = decays * state["average"] + (1 - decays) * torch.where(usable, counted, 0.0)
        seen: State = {"average": average, "num_seen": num_seen + 1}
        seen["least"] = torch.minimum(state["least"], self._unbiased(seen, longest))
        for name, new in seen.items():
            state[name] = torch.where(usable, new, state[name])

    def schedule_features(
        self, step: int, state: State, num_steps: int, longest: int
    ) -> torch.Tensor:
        """How far `step` is, and how the loss goes: float32."""
        fractions = state["average"].new_tensor(self.fractions)
        progress = torch.tanh(10.0 * (step / num_steps - fractions))
        averages = self._unbiased(state, longest)
        distance = (averages[1:] - state["least"][:-1]).clamp(min=self.least_loss_distance)
        relative = (averages[:-1] - state["least"][:-1]) / distance - 1.0
        known = state["num_seen"] > self.first_steps
        return torch.cat([progress, torch.where(known, relative.clamp(-1.0, 1.0), 0.0)])

    def _decays(self, longest: int, like: torch.Tensor) -> torch.Tensor:
        shortest = self.shortest_average
        times = np.geomspace(shortest, max(longest, shortest), self.num_loss_averages)
        return like.new_tensor(np.exp(-1 / times), dtype=torch.float32)

    def _unbiased(self, state: State, longest: int) -> torch.Tensor:
        num_seen = state["num_seen"]
        known = 1 - self._decays(longest, state["average"]) ** num_seen
        return state["average"] / torch.where(num_seen > 0, known, 1.0)


@dataclasses.dataclass(frozen=True)
class SizedArchitecture(ScheduledArchitecture):
    """What moves parameters in units of their size: an MLP on extended features."""

    gradient_limit: float
    size_epsilon: float
    gradient_clip: float
    exp_multiplier: float

    def clipped(self, gradient: torch.Tensor) -> torch.Tensor:
        """Gradients that are not absurd."""
        return gradient.clamp(-self.gradient_limit, self.gradient_limit)

    def root_mean_square(self, param: torch.Tensor) -> torch.Tensor:
        """The size of the parameters of a tensor, []."""
        return torch.sqrt(param.square().mean() + self.size_epsilon)

    def sized_step(self, network: Any, slot: Slot) -> torch.Tensor:
        """Direction times exp(magnitude), in units of the size of the parameters."""
        nothing = slot.param.new_zeros(0)
        outputs = self.apply_to_statistics(network, slot, nothing, self.gradient_clip)
        direction, magnitude = outputs[:2]
        size = self.root_mean_square(slot.param)
        return size * direction * torch.exp(self.exp_multiplier * magnitude)
