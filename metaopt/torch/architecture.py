"""What every architecture is to PyTorch: shapes of its weights, a state of tensors, an update."""

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

CPU = torch.device("cpu")
State: TypeAlias = dict[str, torch.Tensor]
Shapes: TypeAlias = dict[str, tuple[int, ...]]


class Weights:
    """The meta-parameters, nested by their dotted names, on any device and in any dtype."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = {name: torch.tensor(array) for name, array in arrays.items()}
        self._nested: dict[tuple[torch.device, torch.dtype], Any] = {}

    def like(self, tensor: torch.Tensor) -> Any:
        """Nested dictionaries of tensors, on the device and of the dtype of `tensor`."""
        return self.on(tensor.device, tensor.dtype)

    def on(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Any:
        """The same on a device."""
        key = (device, dtype)
        if key not in self._nested:
            tree: dict[str, Any] = {}
            for name, array in self._arrays.items():
                *folders, last = name.split(".")
                node = tree
                for folder in folders:
                    node = node.setdefault(folder, {})
                node[last] = array.to(*key)
            self._nested[key] = tree
        return self._nested[key]


class Slot(NamedTuple):
    """One tensor of parameters that has a gradient."""

    gradient: torch.Tensor  # float32, or float64 for float64 parameters
    param: torch.Tensor  # of the same dtype; not to be changed
    state: State  # what is remembered of it, to be changed in place
    position: int  # among all tensors of the optimizer


class Run(NamedTuple):
    """What all tensors have in common in a step."""

    step: int  # 0 at first
    num_steps: int | None  # announced length of training
    num_tensors: int
    value: torch.Tensor | None  # [] float32
    valid_value: torch.Tensor | None
    state: State  # what is remembered besides tensors, to be changed in place


@dataclasses.dataclass(frozen=True)
class Architecture(abc.ABC):
    """An optimizer without its weights: fields are its arguments and constants in `config.json`."""

    @abc.abstractmethod
    def shapes(self) -> Shapes:
        """The shapes of the weights by dotted names."""

    def check(self, num_steps: int | None) -> None:  # noqa: B027
        """Raises `InputError` where the optimizer cannot run for so many steps."""

    @abc.abstractmethod
    def init(self, weights: Weights, param: torch.Tensor) -> State:
        """What is remembered of a tensor at first; `param` is float32 or float64."""

    def init_run(self, weights: Weights, param: torch.Tensor) -> State:
        """What is remembered besides tensors at first; `param` says on which device."""
        return {}

    @abc.abstractmethod
    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        """What to add to each of the tensors, one or more; moves all states on by a step."""


def column(values: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    """Numbers as a tensor [len(values), 1, ...] that broadcasts with stacks of `like`."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(-1, *[1] * like.ndim)


def averaged(kept: torch.Tensor, decays: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Moves averages, [decays, ...], on in place; `decays` are a `column`, `new` is [...]."""
    return kept.mul_(decays).add_((1 - decays) * new)
