"""A recurrent network for every parameter."""

import dataclasses
import math
from collections.abc import Sequence

import torch

from metaopt.torch.architecture import Architecture, Run, Shapes, Slot, State, Weights
from metaopt.torch.network import dense, layer_shapes
from metaopt.torch.recurrent import LSTMState, lstm, lstm_shapes

LAYERS = ("first", "second")


@dataclasses.dataclass(frozen=True)
class CoordinatewiseLSTM(Architecture):
    """See `metaopt.learned_optimizers.CoordinatewiseLSTM`."""

    hidden_size: int
    preprocess: bool
    step_multiplier: float
    log_scale: float
    log_epsilon: float
    forget_bias: float

    def shapes(self) -> Shapes:
        num_inputs = 2 if self.preprocess else 1
        return {
            **lstm_shapes("first", num_inputs, self.hidden_size),
            **lstm_shapes("second", self.hidden_size, self.hidden_size),
            **layer_shapes("output", self.hidden_size, 1),
        }

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        names = [f"{layer}.{part}" for layer in LAYERS for part in LSTMState._fields]
        return {name: param.new_zeros(self.hidden_size, *param.shape) for name in names}

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        return [self._update(weights.like(slot.param), slot) for slot in slots]

    def _update(self, weights: dict, slot: Slot) -> torch.Tensor:
        x = self._inputs(slot.gradient.reshape(1, -1))
        for layer in LAYERS:
            kept = [slot.state[f"{layer}.{part}"] for part in LSTMState._fields]
            flat = LSTMState(*(old.reshape(self.hidden_size, -1) for old in kept))
            cells = lstm(weights[layer], x, flat, self.forget_bias)
            for old, new in zip(kept, cells, strict=True):
                old.copy_(new.reshape(old.shape))
            x = cells.output
        return self.step_multiplier * dense(weights["output"], x).reshape(slot.param.shape)

    def _inputs(self, gradient: torch.Tensor) -> torch.Tensor:
        """[1, parameters] to [inputs, parameters]."""
        if not self.preprocess:
            return gradient
        size = torch.log(gradient.abs() + self.log_epsilon) / self.log_scale
        value = (gradient * math.exp(self.log_scale)).clamp(-1.0, 1.0)
        return torch.cat([size.clamp(min=-1.0), value])
