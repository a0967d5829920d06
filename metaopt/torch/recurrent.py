"""Recurrent cells inside optimizers, feature-major: [features, cells]."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from metaopt.torch.architecture import Shapes, Slot, State
from metaopt.torch.network import dense, layer_shapes


class LSTMState(NamedTuple):
    """Of a number of cells, [units, cells] each."""

    output: torch.Tensor
    memory: torch.Tensor


def lstm_shapes(name: str, num_inputs: int, num_units: int) -> Shapes:
    """The shapes of the weights of the gates."""
    return layer_shapes(name, num_inputs + num_units, 4 * num_units)


def start_shapes(name: str, num_units: int) -> Shapes:
    """Those of a learned start."""
    return {f"{name}.output": (num_units,), f"{name}.memory": (num_units,)}


def lstm(weights: Any, inputs: torch.Tensor, state: LSTMState, forget_bias: float) -> LSTMState:
    """One step of a long short-term memory; `inputs` are [inputs, cells]."""
    gates = dense(weights, torch.cat([inputs, state.output]))
    enter, candidate, forget, leave = gates.chunk(4)
    memory = torch.sigmoid(forget + forget_bias) * state.memory
    memory = memory + torch.sigmoid(enter) * torch.tanh(candidate)
    return LSTMState(torch.sigmoid(leave) * torch.tanh(memory), memory)


def started(learned: Any) -> State:
    """The state of a cell that starts at what was learned, [units] each."""
    return {"output": learned["output"].clone(), "memory": learned["memory"].clone()}


def cells_of(slots: Sequence[Slot]) -> LSTMState:
    """The states of the cells of all tensors, side by side."""
    stacked = (torch.stack([slot.state[k] for slot in slots], dim=1) for k in LSTMState._fields)
    return LSTMState(*stacked)


def keep_cells(slots: Sequence[Slot], cells: LSTMState) -> None:
    """Puts the states of all tensors back."""
    for index, slot in enumerate(slots):
        for name, stacked in zip(LSTMState._fields, cells, strict=True):
            slot.state[name] = stacked[:, index].clone()
