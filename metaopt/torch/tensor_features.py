"""What networks with a state per tensor look at: statistics of the tensor, and losses."""

import dataclasses
import math
from collections.abc import Sequence

import torch

from metaopt.torch.architecture import Architecture, State

NUM_STATISTICS = 16
NUM_DIMENSIONS = 4  # axes of which the size is a feature


@dataclasses.dataclass(frozen=True)
class TensorArchitecture(Architecture):
    """What architectures that look at these have in common."""

    log_limit: float
    log_epsilon: float
    norm_epsilon: float
    loss_limit: float
    loss_epsilon: float

    def log_size(self, x: torch.Tensor) -> torch.Tensor:
        """The logarithm of |x|, clipped."""
        return torch.log(self.log_epsilon + x.abs()).clamp(-self.log_limit, self.log_limit)

    def norm(self, x: torch.Tensor) -> torch.Tensor:
        """The Euclidean norm of a tensor, []."""
        return x.square().sum().clamp(min=self.norm_epsilon).sqrt()

    def tensor_statistics(
        self,
        gradient: torch.Tensor,
        param: torch.Tensor,
        momentum: torch.Tensor,
        second_moment: torch.Tensor,
    ) -> torch.Tensor:
        """[16] float32; of `momentum` and `second_moment`, [decays, *shape], all together."""
        moments = []
        for x in (momentum, second_moment, param):
            mean = x.mean()
            variance = (x.square().mean() - mean.square()).clamp(min=0.0)
            moments += [self.log_size(mean), mean.sign(), self.log_size(variance)]
        values = [*moments, self.log_size(self.norm(param)), self.log_size(self.norm(gradient))]
        fixed = [1.0 if param.ndim == 0 else -1.0, *_log_dimensions(param.shape)]
        known = torch.tensor(fixed, dtype=torch.float32, device=param.device)
        return torch.cat([torch.stack(values).float(), known])

    def no_losses(self, name: str, like: torch.Tensor) -> State:
        """What is remembered of a loss before the first."""
        zero = like.new_zeros((), dtype=torch.float32)
        moments = {part: zero.clone() for part in ("mean", "variance", "num_seen")}
        return {f"{name}.{part}": x for part, x in moments.items()}

    def observe(self, state: State, name: str, loss: torch.Tensor | None, decay: float) -> None:
        """Moves the moments of a loss on, unless it is None or not finite."""
        if loss is None:
            return
        mean = decay * state[f"{name}.mean"] + (1 - decay) * loss
        variance = decay * state[f"{name}.variance"] + (1 - decay) * (mean - loss).square()
        seen = {"mean": mean, "variance": variance, "num_seen": state[f"{name}.num_seen"] + 1}
        for part, new in seen.items():
            old = state[f"{name}.{part}"]
            state[f"{name}.{part}"] = torch.where(torch.isfinite(loss), new, old)

    def mean_loss(self, state: State, name: str, decay: float) -> torch.Tensor:
        """The mean without its bias, []; 0 before the first loss."""
        return state[f"{name}.mean"] / _known(state, name, decay)

    def relative_loss(
        self, loss: torch.Tensor | None, state: State, name: str, decay: float
    ) -> torch.Tensor:
        """The distance of a loss from the mean, [], in deviations, clipped; 0 where unknown."""
        mean, variance = state[f"{name}.mean"], state[f"{name}.variance"]
        if loss is None:
            return torch.zeros_like(mean)
        known = _known(state, name, decay)
        inverse_deviation = torch.rsqrt(variance / known + self.loss_epsilon)
        distance = (torch.nan_to_num(loss, 0.0, 0.0, 0.0) - mean / known) * inverse_deviation
        usable = torch.isfinite(loss) & (state[f"{name}.num_seen"] > 0)
        limit = self.loss_limit
        return torch.where(usable, distance.clamp(-limit, limit), torch.zeros_like(mean))


def _known(state: State, name: str, decay: float) -> torch.Tensor:
    num_seen = state[f"{name}.num_seen"]
    return torch.where(num_seen > 0, 1 - decay**num_seen, 1.0)


def _log_dimensions(shape: Sequence[int]) -> list[float]:
    sizes = [*shape[: NUM_DIMENSIONS - 1], math.prod(shape[NUM_DIMENSIONS - 1 :])]
    sizes += [1] * (NUM_DIMENSIONS - len(sizes))
    return [math.log(size) - 1.0 for size in sizes]
