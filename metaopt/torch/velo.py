"""A recurrent network for every tensor that mixes an MLP of its own for it from a bank."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch

from metaopt.torch.architecture import Run, Shapes, Slot, State, Weights
from metaopt.torch.celo2 import NUM_OUTPUTS
from metaopt.torch.factored_features import NUM_EXTENDED
from metaopt.torch.network import dense, layer_shapes, network_shapes
from metaopt.torch.recurrent import (
    cells_of,
    keep_cells,
    lstm,
    lstm_shapes,
    start_shapes,
    started,
)
from metaopt.torch.schedule_features import SizedArchitecture

MAX_RANK = 4  # of axes longer than 1 that a tensor is told apart by


@dataclasses.dataclass(frozen=True)
class VeLO(SizedArchitecture):
    """See `metaopt.learned_optimizers.VeLO`."""

    lstm_size: int
    bank_size: int
    hidden_size: int
    released: bool
    equal_averages: bool
    forgets: bool
    default_num_steps: int
    step_multiplier: float
    mix_multiple: float
    log: tuple[float, ...]  # limit of logarithms, epsilon, multiple of what they are taken of
    forget_bias: float

    def shapes(self) -> Shapes:
        size = self.lstm_size
        num_momenta = len(self.momentum_decays)
        num_variances = num_momenta + (num_momenta if self.released else 1)
        num_inputs = self.num_schedule_features + 1 + num_variances + MAX_RANK + 1
        hidden = (self.hidden_size, self.hidden_size)
        bank = network_shapes((NUM_EXTENDED, *hidden, NUM_OUTPUTS), "bank.")
        return {
            **layer_shapes("straight", num_inputs, size),
            **layer_shapes("tell_first", num_inputs, size),
            **layer_shapes("tell_second", num_inputs if self.released else size, size),
            **lstm_shapes("lstm", size, size),
            **start_shapes("start", size),
            **layer_shapes("mixture", size, self.bank_size),
            **layer_shapes("rate", size, 1),
            **{name: (self.bank_size, *shape) for name, shape in bank.items()},
        }

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        return self.zero_statistics(param) | started(weights.on(param.device)["start"])

    def init_run(self, weights: Weights, param: torch.Tensor) -> State:
        return self.no_losses(param)

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        learned = weights.on(slots[0].param.device)
        slots = [slot._replace(gradient=self.clipped(slot.gradient)) for slot in slots]
        schedule = self._schedule(run)
        looks = torch.stack([self._look(slot) for slot in slots], dim=1)
        inputs = torch.cat([schedule[:, None].expand(-1, len(slots)), looks])
        kept = cells_of(slots)
        cells = lstm(learned["lstm"], self._told(learned, inputs), kept, self.forget_bias)
        if not self.forgets:
            keep_cells(slots, cells)
        mixture = dense(learned["mixture"], cells.output) * (self.mix_multiple / self.bank_size)
        rates = self.step_multiplier * dense(learned["rate"], cells.output)[0]
        updates = []
        for i, slot in enumerate(slots):
            network = _mixed(learned["bank"], mixture[:, i], slot.param.dtype)
            updates.append(-rates[i].to(slot.param) * self.sized_step(network, slot))
        return updates

    def _schedule(self, run: Run) -> torch.Tensor:
        num_steps = self.default_num_steps if run.num_steps is None else run.num_steps
        longest = int(self.shortest_average) if self.equal_averages else num_steps
        self.observe(run.state, run.value, longest)
        return self.schedule_features(run.step, run.state, num_steps, longest)

    def _look(self, slot: Slot) -> torch.Tensor:
        """What a tensor is like, relative to its size; moves its statistics on."""
        if self.released:
            look = self._look_of(slot)
            self.accumulate(slot.gradient, slot.state, self.fixed_decays())
            return look
        self.accumulate(slot.gradient, slot.state, self.fixed_decays())
        return self._look_of(slot)

    def _look_of(self, slot: Slot) -> torch.Tensor:
        size = self.root_mean_square(slot.param)
        momentum = slot.state["momentum"] / size
        second_moment = slot.state["second_moment"] / size
        about = lambda x, center: (x - center.mean()).square().mean()
        centers = momentum if self.released else second_moment[None]
        moments = [
            second_moment.mean(),
            *[about(m, m) for m in momentum],
            *[about(second_moment, center) for center in centers],
        ]
        limit, epsilon, multiple = self.log
        sizes = (multiple * torch.stack(moments)).abs() + epsilon
        logs = torch.log(sizes).clamp(-limit, limit).float() / 2
        one_hot = logs.new_zeros(MAX_RANK + 1)
        one_hot[min(sum(length > 1 for length in slot.param.shape), MAX_RANK)] = 1.0
        return torch.cat([logs, one_hot])

    def _told(self, weights: Any, inputs: torch.Tensor) -> torch.Tensor:
        """What enters the LSTMs, [lstm_size, tensors]: inputs, and what the others say."""
        said = inputs
        if not self.released:
            said = torch.relu(dense(weights["tell_first"], inputs))
        said = torch.relu(dense(weights["tell_second"], said))
        return dense(weights["straight"], inputs) + said.amax(dim=1, keepdim=True)


def _mixed(bank: Any, mixture: torch.Tensor, dtype: torch.dtype) -> Any:
    """The MLP of a tensor: the sum of those of the bank, times `mixture`, [bank]."""
    return {
        layer: {part: torch.tensordot(mixture, x, 1).to(dtype) for part, x in parts.items()}
        for layer, parts in bank.items()
    }
