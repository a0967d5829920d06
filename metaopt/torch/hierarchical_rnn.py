"""Recurrent networks on three levels: of every parameter, of every tensor, of all together."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch

from metaopt.torch.architecture import Architecture, Run, Shapes, Slot, State, Weights
from metaopt.torch.features import inverse_rms
from metaopt.torch.network import dense, layer_shapes

NUM_OUTPUTS = 4  # direction, increment of the log rate, logits of the decays b and c
PARTS = ("output", "average", "mean_square", "log_rate")


@dataclasses.dataclass(frozen=True)
class HierarchicalRNN(Architecture):
    """See `metaopt.learned_optimizers.HierarchicalRNN`."""

    param_size: int
    tensor_size: int
    all_size: int
    initial_learning_rate: float
    num_scales: int
    log_rate_limit: float
    scale_epsilon: float
    square_epsilon: float

    def shapes(self) -> Shapes:
        return {
            **_gru_shapes("param", 3 * self.num_scales, self.param_size),
            **_gru_shapes("tensor", self.param_size, self.tensor_size),
            **_gru_shapes("all", self.tensor_size, self.all_size),
            "tensor_to_param": (self.tensor_size, 3 * self.param_size),
            "all_to_tensor": (self.all_size, 3 * self.tensor_size),
            **layer_shapes("outputs", self.param_size, NUM_OUTPUTS),
            "shortcut.weight": (self.num_scales,),
            "shortcut.bias": (),
            "rate_decay_logit": (),
            "rate_offset": (),
        }

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        sizes = (self.param_size, self.num_scales, self.num_scales)
        zeros = [param.new_zeros(size, *param.shape) for size in sizes]
        log_rate = torch.full_like(param, math.log(self.initial_learning_rate))
        cell = param.new_zeros(self.tensor_size, dtype=torch.float32)
        return {**dict(zip(PARTS, [*zeros, log_rate], strict=True)), "cell": cell}

    def init_run(self, weights: Weights, param: torch.Tensor) -> State:
        return {"all": param.new_zeros(self.all_size, 1, dtype=torch.float32)}

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        learned = weights.on(slots[0].param.device)
        total = sum(slot.state["log_rate"].sum().float() for slot in slots)
        mean_log_rate = total / sum(slot.param.numel() for slot in slots)
        tensor_cells = torch.stack([slot.state["cell"] for slot in slots], dim=1)
        biases = learned["tensor_to_param"].T @ tensor_cells
        moves, means = [], []
        for i, slot in enumerate(slots):
            bias = biases[:, i, None].to(slot.param)
            moves.append(-self._move(weights.like(slot.param), slot, bias, mean_log_rate))
            means.append(slot.state["output"].reshape(self.param_size, -1).mean(dim=1).float())
        bias = learned["all_to_tensor"].T @ run.state["all"]
        of_tensors = _gru(learned["tensor"], torch.stack(means, dim=1), tensor_cells, bias)
        for i, slot in enumerate(slots):
            slot.state["cell"] = of_tensors[:, i].clone()
        mean = of_tensors.mean(dim=1, keepdim=True)
        no_bias = mean.new_zeros(3 * self.all_size, 1)
        run.state["all"] = _gru(learned["all"], mean, run.state["all"], no_bias)
        return moves

    def _move(
        self, weights: Any, slot: Slot, bias: torch.Tensor, mean_log_rate: torch.Tensor | float
    ) -> torch.Tensor:
        """How far the parameters of a tensor go down; moves its state on."""
        gradient = slot.gradient.reshape(-1)
        cells, average, square = (
            slot.state[part].reshape(-1, gradient.numel()) for part in PARTS[:3]
        )
        log_rate = slot.state["log_rate"].reshape(-1)
        *_, gradient_logit, square_logit = dense(weights["outputs"], cells)
        self._average(average, gradient, torch.sigmoid(gradient_logit))
        self._average(square, gradient.square(), torch.sigmoid(square_logit))
        scaled = average * torch.rsqrt(square + self.square_epsilon)
        log_square = torch.log(square + self.square_epsilon)
        relative = log_square - log_square.mean(dim=0, keepdim=True)
        inputs = [scaled, scaled[:-1] * scaled[1:], relative, (log_rate - mean_log_rate)[None]]
        cells.copy_(_gru(weights["param"], torch.cat(inputs), cells, bias))

        direction, increment, *_ = dense(weights["outputs"], cells)
        straight = weights["shortcut"]["weight"] @ scaled + weights["shortcut"]["bias"]
        direction = direction * inverse_rms(direction[None], self.scale_epsilon) + straight
        limit = self.log_rate_limit
        new_rate = (log_rate + increment).clamp(-limit, limit)
        move = torch.exp(new_rate + weights["rate_offset"] - 1.0) * direction
        decay = torch.sigmoid(weights["rate_decay_logit"])
        slot.state["log_rate"].mul_(decay).add_(((1 - decay) * new_rate).reshape(slot.param.shape))
        return move.reshape(slot.param.shape)

    def _average(self, kept: torch.Tensor, new: torch.Tensor, decay: torch.Tensor) -> None:
        """Moves averages on all scales, [scales, n], on; `decay`, [n], is that of the first."""
        decays = [decay]
        for _ in range(self.num_scales - 1):
            decays.append(torch.sqrt(decays[-1]))
        of_scales = torch.stack(decays)
        kept.mul_(of_scales).add_((1 - of_scales) * new)


def _gru_shapes(name: str, num_inputs: int, num_units: int) -> Shapes:
    num_rows = num_inputs + num_units
    return {
        **layer_shapes(f"{name}.gates", num_rows, 2 * num_units),
        **layer_shapes(f"{name}.candidate", num_rows, num_units),
    }


def _gru(
    weights: Any, inputs: torch.Tensor, output: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """One step of a gated recurrent unit, [units, cells], from its last output."""
    of_gates, of_candidate = bias[: 2 * len(output)], bias[2 * len(output) :]
    gates = torch.sigmoid(dense(weights["gates"], torch.cat([inputs, output])) + of_gates)
    update, reset = gates.chunk(2)
    remembered = torch.cat([inputs, reset * output])
    candidate = torch.tanh(dense(weights["candidate"], remembered) + of_candidate)
    return update * output + (1 - update) * candidate
