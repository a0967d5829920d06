"""A recurrent network for every tensor that steers an MLP for every parameter."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from metaopt.torch.architecture import CPU, Run, Shapes, Slot, State, Weights, averaged, column
from metaopt.torch.features import offset_decays
from metaopt.torch.network import apply_to_features, dense, layer_shapes, network_shapes
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

NUM_MIXED = 18  # numbers that all tensors share
NUM_TO_MLP = 17
NUM_FROM_MLP = 16
VARIANTS = ("port", "paper")


class Clipping(NamedTuple):
    """How gradients are clipped."""

    decay: float
    multiple: float


@dataclasses.dataclass(frozen=True)
class Hierarchical(TensorArchitecture):
    """See `metaopt.learned_optimizers.Hierarchical`."""

    variant: str
    lstm_size: int
    hidden_size: int
    step_multiplier: float
    exp_multiplier: float
    decays: tuple[float, ...]
    time_scales: tuple[float, ...]
    loss_decays: tuple[float, ...]
    clip: tuple[float, ...]  # decay, multiple, epsilon
    scale_epsilon: float
    root_epsilon: float
    snapshot_every: int
    forget_bias: float

    def shapes(self) -> Shapes:
        if self.variant not in VARIANTS:
            raise unknown_name("variant", self.variant[:80], VARIANTS)
        is_paper, size = self.variant == "paper", self.lstm_size
        of_parameter = 3 + 4 * len(self.decays) + is_paper + len(self.time_scales) + 3 + NUM_TO_MLP
        of_tensor = NUM_STATISTICS + 2 + NUM_MIXED + NUM_FROM_MLP
        hidden = (self.hidden_size, self.hidden_size)
        return {
            **lstm_shapes("lstm", of_tensor, size),
            **network_shapes((of_parameter, *hidden, 2 + NUM_FROM_MLP), "mlp."),
            **layer_shapes("to_mlp", size, NUM_TO_MLP),
            **layer_shapes("to_mixed", size, NUM_MIXED),
            **start_shapes("start.lstm", size),
            "start.mixed": (NUM_MIXED,),
            "start.from_mlp": (NUM_FROM_MLP,),
            **({"clip.decay": (), "clip.log_multiple": ()} if is_paper else {}),
        }

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        start = weights.on(param.device)["start"]
        zeros = lambda: param.new_zeros(len(self.decays), *param.shape)
        state = {"momentum": zeros(), "second_moment": zeros(), **started(start["lstm"])}
        if self.variant == "paper":
            state["snapshot"] = param.clone()
        return state | {"from_mlp": start["from_mlp"].clone()}

    def init_run(self, weights: Weights, param: torch.Tensor) -> State:
        moments = self.no_losses("train", param) | self.no_losses("valid", param)
        average = param.new_tensor(1 - self._clipping(weights).decay, dtype=torch.float32)
        mixed = weights.on(param.device)["start"]["mixed"].clone()
        return moments | {"clip_average": average, "mixed": mixed}

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        for name, loss, decay in zip(
            ("train", "valid"), (run.value, run.valid_value), self.loss_decays, strict=True
        ):
            self.observe(run.state, name, loss, decay)
        clipping = self._clipping(weights)
        known = 1 - clipping.decay ** (run.step + 1.0)
        bound = clipping.multiple * run.state["clip_average"] / known
        slots = [slot._replace(gradient=_clipped(slot.gradient, bound)) for slot in slots]
        looks = torch.stack([self._look(slot) for slot in slots])
        squares = torch.stack([slot.gradient.square().mean().float() for slot in slots])
        root = torch.sqrt(self.clip[2] + squares.mean())
        average = run.state["clip_average"]
        run.state["clip_average"] = clipping.decay * average + (1 - clipping.decay) * root
        controls = self._control(weights.on(slots[0].param.device), slots, looks, run)
        return [self._move(weights, slot, controls[:, i], run) for i, slot in enumerate(slots)]

    def _clipping(self, weights: Weights) -> Clipping:
        decay, multiple, _ = self.clip
        if self.variant == "port":
            return Clipping(decay, multiple)
        learned = weights.on(CPU)["clip"]
        decay = float(offset_decays((decay,), learned["decay"][None]).clamp(0.0, 1 - 1e-6))
        return Clipping(decay, float(learned["log_multiple"].exp()))

    def _look(self, slot: Slot) -> torch.Tensor:
        """Statistics of a tensor, [16]; moves its momenta on."""
        decays = column(self.decays, slot.gradient)
        momentum = averaged(slot.state["momentum"], decays, slot.gradient)
        second = averaged(slot.state["second_moment"], decays, slot.gradient.square())
        return self.tensor_statistics(slot.gradient, slot.param, momentum, second)

    def _control(
        self, weights: Any, slots: Sequence[Slot], looks: torch.Tensor, run: Run
    ) -> torch.Tensor:
        """A step of the LSTMs, and what they send to the MLPs, [17, tensors]."""
        train_decay, valid_decay = self.loss_decays
        relative = lambda x: self.relative_loss(x, run.state, "train", train_decay)
        valid = relative(self.mean_loss(run.state, "valid", valid_decay))
        valid = torch.where(run.state["valid.num_seen"] > 0, valid, 0.0)
        losses = torch.stack([relative(run.value), valid])
        of_all = torch.cat([losses, run.state["mixed"]]).expand(len(slots), -1)
        from_mlp = torch.stack([slot.state["from_mlp"] for slot in slots])
        inputs = torch.cat([looks, of_all, from_mlp], dim=1).T
        new = lstm(weights["lstm"], inputs, cells_of(slots), self.forget_bias)
        keep_cells(slots, new)
        run.state["mixed"] = dense(weights["to_mixed"], new.output).mean(dim=1)
        return dense(weights["to_mlp"], new.output)

    def _move(self, weights: Weights, slot: Slot, control: torch.Tensor, run: Run) -> torch.Tensor:
        """The update of a tensor; keeps what the MLP sends back."""
        param, state = slot.param, slot.state
        scales = math.pi * param.new_tensor(self.time_scales, dtype=torch.float32)
        sizes = [
            param.new_tensor(math.log(run.num_tensors) - 1, dtype=torch.float32),
            torch.log(self.norm(param) + self.log_epsilon).float(),
            param.new_tensor(math.log(param.numel()), dtype=torch.float32),
        ]
        shared = torch.cat([torch.sin(run.step / scales), torch.stack(sizes), control])
        features = self._features(slot)
        network = weights.like(param)["mlp"]
        outputs = apply_to_features(network, features, shared.to(param), self.scale_epsilon)
        direction, magnitude = outputs[:2].reshape(2, *param.shape)
        state["from_mlp"] = outputs[2:].mean(dim=1).float()
        if self.variant == "paper" and run.step % self.snapshot_every == 0:
            state["snapshot"].copy_(param)
        return -self.step_multiplier * direction * torch.exp(self.exp_multiplier * magnitude)

    def _features(self, slot: Slot) -> torch.Tensor:
        """The features of a tensor, [k, parameters]."""
        momentum, second = slot.state["momentum"], slot.state["second_moment"]
        inverse_roots = torch.rsqrt(second + self.root_epsilon)
        log_param = torch.log(slot.param.abs() + self.log_epsilon)
        first = torch.stack([slot.gradient, slot.param, log_param])
        parts = [first, momentum, momentum * inverse_roots, second, inverse_roots]
        if self.variant == "paper":
            parts.append(slot.state["snapshot"][None])
        return torch.cat(parts).reshape(-1, slot.param.numel())


def _clipped(gradient: torch.Tensor, bound: torch.Tensor) -> torch.Tensor:
    bound = bound.to(gradient)
    return gradient.clamp(-bound, bound)
