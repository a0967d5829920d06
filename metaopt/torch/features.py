"""Features that several architectures share."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch


class FactoredAxes(NamedTuple):
    """The two largest axes of a tensor, over which its second moment is factored."""

    row: int  # the axis along which row statistics vary
    column: int


def factored_axes(shape: Sequence[int]) -> FactoredAxes | None:
    """The two largest axes, the second largest first; None for fewer than two axes."""
    if len(shape) < 2:
        return None
    by_size = sorted(range(len(shape)), key=lambda axis: shape[axis])  # stable
    return FactoredAxes(by_size[-2], by_size[-1])


def time_features(step: int, time_scales: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    """tanh(step / x - 1) for the scales x, [scales]."""
    scales = torch.tensor(time_scales, dtype=torch.float32, device=like.device)
    return torch.tanh(step / scales - 1.0).to(like.dtype)


def inverse_rms(stack: torch.Tensor, epsilon: float) -> torch.Tensor:
    """One over the root mean square of each row of [k, n]: [k]."""
    square = torch.linalg.vector_norm(stack, dim=1).square()
    return torch.rsqrt(square / stack.shape[1] + epsilon)


def offset_decays(initial: Sequence[float], offsets: torch.Tensor) -> torch.Tensor:
    """Meta-learned decays 1 - exp(10 * (log(1 - initial) / 10 + offset)), float32."""
    start = torch.tensor([math.log(1 - decay) / 10 for decay in initial], dtype=torch.float32)
    return 1.0 - torch.exp(10.0 * (start.to(offsets.device) + offsets.float()))
