"""A learned direction of a fixed length: the user gives the learning rate and its schedule."""

import dataclasses
from collections.abc import Sequence

import torch

from metaopt.torch.architecture import Run, Shapes, Slot, State, Weights
from metaopt.torch.factored_features import NUM_EXTENDED, FactoredArchitecture
from metaopt.torch.network import network_shapes

NUM_OUTPUTS = 3  # direction and two that nothing uses


@dataclasses.dataclass(frozen=True)
class Celo2(FactoredArchitecture):
    """See `metaopt.learned_optimizers.Celo2`."""

    hidden_size: int
    learning_rate: float
    orthogonalize: bool
    adam_for_vectors: bool
    vector_multiple: float
    adam_epsilon: float
    length_epsilon: float
    newton_schulz: tuple[float, ...]  # three coefficients, number of steps, epsilon of the norm
    gradient_clip: float

    def shapes(self) -> Shapes:
        hidden = (self.hidden_size, self.hidden_size)
        return network_shapes((NUM_EXTENDED, *hidden, NUM_OUTPUTS))

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        return self.zero_statistics(param)

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        updates = []
        for slot in slots:
            self.accumulate(slot.gradient, slot.state, self.fixed_decays())
            if self.adam_for_vectors and slot.param.ndim < 2:
                step = self.vector_multiple * self._adam(slot.state, run.step + 1)
            else:
                step = self._direction(weights.like(slot.param), slot)
            updates.append(-self.learning_rate * step)
        return updates

    def _direction(self, network: dict, slot: Slot) -> torch.Tensor:
        """Of mean square 1 over the tensor."""
        nothing = slot.param.new_zeros(0)
        outputs = self.apply_to_statistics(network, slot, nothing, self.gradient_clip)
        direction = outputs[0]
        if self.orthogonalize and direction.ndim >= 2:
            direction = self._orthogonalized(direction)
        return direction * torch.rsqrt(direction.square().mean() + self.length_epsilon)

    def _orthogonalized(self, direction: torch.Tensor) -> torch.Tensor:
        """The nearly orthogonal matrix near `direction`, all but whose last axis count as one."""
        a, b, c, num_steps, epsilon = self.newton_schulz
        matrix = direction.reshape(-1, direction.shape[-1])
        tall = matrix.shape[0] > matrix.shape[1]
        x = matrix.T if tall else matrix
        x = x / (torch.linalg.vector_norm(x) + epsilon)
        for _ in range(int(num_steps)):
            square = x @ x.T
            x = a * x + (b * square + c * square @ square) @ x
        return (x.T if tall else x).reshape(direction.shape)

    def _adam(self, state: State, count: int) -> torch.Tensor:
        """The step of Adam, from the shortest momentum and the second moment."""
        decays = (self.momentum_decays[0], self.second_moment_decays[0])
        known_first, known_second = (1 - decay**count for decay in decays)
        scale = torch.sqrt(state["second_moment"] / known_second) + self.adam_epsilon
        return state["momentum"][0] / known_first / scale
