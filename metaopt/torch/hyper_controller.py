"""A network for every tensor that turns the knobs of an Adam-type update."""

import dataclasses
from collections.abc import Sequence

import torch

from metaopt.torch.architecture import Run, Shapes, Slot, State, Weights
from metaopt.torch.network import dense, layer_shapes, network_shapes
from metaopt.torch.recurrent import (
    cells_of,
    keep_cells,
    lstm,
    lstm_shapes,
    start_shapes,
    started,
)
from metaopt.torch.tensor_features import NUM_STATISTICS, TensorArchitecture
from taskset.errors import unknown_name

NUM_KNOBS = 4  # log rate, log (1 - b1), log (1 - b2), log e
CONTROLLERS = ("lstm", "mlp")


@dataclasses.dataclass(frozen=True)
class HyperController(TensorArchitecture):
    """See `metaopt.learned_optimizers.HyperController`."""

    controller: str
    hidden_size: int
    learning_rate: float
    knob_multiplier: float
    root_epsilon: float
    knob_limit: float
    loss_decay: float
    forget_bias: float

    def shapes(self) -> Shapes:
        if self.controller not in CONTROLLERS:
            raise unknown_name("controller", self.controller[:80], CONTROLLERS)
        num_inputs, size = NUM_STATISTICS + 1 + NUM_KNOBS, self.hidden_size
        if self.controller == "mlp":
            return {"knobs": (NUM_KNOBS,), **network_shapes((num_inputs, size, NUM_KNOBS), "mlp.")}
        return {
            "knobs": (NUM_KNOBS,),
            **lstm_shapes("lstm", num_inputs, size),
            **start_shapes("start", size),
            **layer_shapes("output", size, NUM_KNOBS),
        }

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        accumulators = {name: torch.zeros_like(param) for name in ("momentum", "second_moment")}
        moved = param.new_zeros(NUM_KNOBS, dtype=torch.float32)
        cell = {}
        if self.controller == "lstm":
            cell = started(weights.on(param.device)["start"])
        return accumulators | {"moved": moved} | cell

    def init_run(self, weights: Weights, param: torch.Tensor) -> State:
        return self.no_losses("loss", param)

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        self.observe(run.state, "loss", run.value, self.loss_decay)
        loss = self.relative_loss(run.value, run.state, "loss", self.loss_decay)
        learned = weights.on(slots[0].param.device)
        looks = [self._look_of(slot, loss) for slot in slots]
        moved = self._control(learned, slots, torch.stack(looks, dim=1))
        knobs = torch.exp(learned["knobs"][:, None] + moved)
        return [self._adam(slot, knobs[:, i]) for i, slot in enumerate(slots)]

    def _look_of(self, slot: Slot, loss: torch.Tensor) -> torch.Tensor:
        state = slot.state
        moments = (state["momentum"], state["second_moment"])
        statistics = self.tensor_statistics(slot.gradient, slot.param, *moments)
        return torch.cat([statistics, loss[None], state["moved"]])

    def _control(self, weights: dict, slots: Sequence[Slot], inputs: torch.Tensor) -> torch.Tensor:
        """Where the knobs are after this step, since the start, [4, tensors]."""
        if self.controller == "mlp":
            hidden = torch.relu(dense(weights["mlp"]["layer0"], inputs))
            turned = dense(weights["mlp"]["layer1"], hidden)
        else:
            cells = lstm(weights["lstm"], inputs, cells_of(slots), self.forget_bias)
            keep_cells(slots, cells)
            turned = dense(weights["output"], cells.output)
        moved = torch.stack([slot.state["moved"] for slot in slots], dim=1)
        moved = moved + self.knob_multiplier * turned
        moved = moved.clamp(-self.knob_limit, self.knob_limit)
        for i, slot in enumerate(slots):
            slot.state["moved"] = moved[:, i].clone()
        return moved

    def _adam(self, slot: Slot, knobs: torch.Tensor) -> torch.Tensor:
        rate, share, square_share, epsilon = knobs.to(slot.param.dtype)
        momentum, second_moment = slot.state["momentum"], slot.state["second_moment"]
        momentum.lerp_(slot.gradient, share.clamp(max=1.0))
        second_moment.lerp_(slot.gradient.square(), square_share.clamp(max=1.0))
        scale = torch.sqrt(second_moment + self.root_epsilon).add_(epsilon)
        return (momentum / scale).mul_(-rate * (1 + epsilon))
