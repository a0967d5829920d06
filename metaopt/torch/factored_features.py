"""Adam and Adafactor statistics, and a tiny MLP on features that are made of them."""

import dataclasses
from typing import Any, NamedTuple

import torch

from metaopt.torch.architecture import Architecture, Slot, State, averaged, column
from metaopt.torch.features import FactoredAxes, factored_axes
from metaopt.torch.network import after_first_layer

NUM_FEATURES, NUM_EXTENDED = 28, 30
FACTORED, ROWS, COLUMNS, FACTORED_MOMENTA = 10, (13, 19), (16, 22), 25  # first rows of the features


class Decays(NamedTuple):
    """How much of each accumulator stays in a step."""

    momentum: tuple[float, ...]
    second_moment: float
    factored: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class FactoredArchitecture(Architecture):
    """What architectures on these features have in common."""

    momentum_decays: tuple[float, ...]
    second_moment_decays: tuple[float, ...]
    factored_decays: tuple[float, ...]
    scale_epsilon: float
    root_epsilon: float
    statistic_epsilon: float
    factor_epsilon: float
    square_epsilon: float

    def zero_statistics(self, param: torch.Tensor) -> State:
        """The accumulators of a tensor, at the start."""
        axes = factored_axes(param.shape)
        zeros = lambda decays, shape: param.new_zeros(len(decays), *shape)
        state = {
            "momentum": zeros(self.momentum_decays, param.shape),
            "second_moment": param.new_zeros(param.shape),
        }
        if axes is None:
            return state | {"row": zeros(self.factored_decays, param.shape)}
        row, column = list(param.shape), list(param.shape)
        row[axes.column] = column[axes.row] = 1
        factored = {"row": row, "column": column}
        return state | {name: zeros(self.factored_decays, x) for name, x in factored.items()}

    def fixed_decays(self) -> Decays:
        """Decays that are not learned."""
        return Decays(self.momentum_decays, self.second_moment_decays[0], self.factored_decays)

    def accumulate(self, gradient: torch.Tensor, state: State, decays: Decays) -> None:
        """Moves the statistics on by a gradient."""
        averaged(state["momentum"], column(decays.momentum, gradient), gradient)
        square = gradient.square()
        state["second_moment"].lerp_(square, 1 - decays.second_moment)
        factored, axes = column(decays.factored, gradient), factored_axes(gradient.shape)
        square = square.add_(self.square_epsilon)
        if axes is None:
            averaged(state["row"], factored, square)
            return
        averaged(state["row"], factored, square.mean(axes.column, keepdim=True))
        averaged(state["column"], factored, square.mean(axes.row, keepdim=True))

    def apply_to_statistics(
        self, network: Any, slot: Slot, shared: torch.Tensor, clip: float | None = None
    ) -> torch.Tensor:
        """The outputs of the network, [outputs, *shape].

        With `clip`, to which the gradient is clipped as a feature, the features are extended.
        """
        gradient, state = slot.gradient, slot.state
        num_features = NUM_FEATURES if clip is None else NUM_EXTENDED
        weight, axes = network["layer0"]["weight"], factored_axes(gradient.shape)
        if axes is None:
            factors, momentum_factors = self._full_factors(state["row"])
        else:
            factors = momentum_factors = self._factors(state, axes)
        rows = self._full_features(slot, factors, momentum_factors, clip)
        parts = torch.cat(list(rows.values()))
        indices = [first + i for first, x in rows.items() for i in range(len(x))]
        hidden = self._scaled(weight[indices], parts.reshape(len(parts), -1))
        bias = shared @ weight[num_features:] + network["layer0"]["bias"]
        hidden = hidden.reshape(-1, *gradient.shape)
        for firsts, name in ((ROWS, "row"), (COLUMNS, "column")):
            # Of a vector, `row` is the full second moment, for rows and columns alike.
            hidden += self._statistic_terms(weight, firsts, state.get(name, state["row"]))
        hidden += bias.reshape(-1, *[1] * gradient.ndim)
        outputs = after_first_layer(network, hidden.reshape(len(hidden), -1))
        return outputs.reshape(-1, *gradient.shape)

    def _full_features(
        self,
        slot: Slot,
        factors: torch.Tensor,
        momentum_factors: torch.Tensor,
        clip: float | None,
    ) -> dict[int, torch.Tensor]:
        """Features of the shape of the tensor, [k, *shape], by their first row."""
        gradient, momentum = slot.gradient, slot.state["momentum"]
        second_moment = slot.state["second_moment"]
        inverse_root = torch.rsqrt(second_moment + self.root_epsilon)
        features = {
            0: torch.stack([gradient, slot.param]),
            2: momentum,
            5: second_moment[None],
            6: momentum * inverse_root,
            9: inverse_root[None],
            FACTORED: gradient * factors,
            FACTORED_MOMENTA: momentum * momentum_factors,
        }
        if clip is None:
            return features
        return features | {28: torch.stack([gradient.clamp(-clip, clip), gradient * inverse_root])}

    def _statistic_terms(
        self, weight: torch.Tensor, firsts: tuple[int, int], statistic: torch.Tensor
    ) -> torch.Tensor:
        """What row or column statistics, [3, *shape], and their inverse roots give to the units."""
        flat = statistic.reshape(len(statistic), -1)
        features = torch.cat([flat, torch.rsqrt(flat + self.statistic_epsilon)])
        indices = [first + i for first in firsts for i in range(len(flat))]
        return self._scaled(weight[indices], features).reshape(-1, *statistic.shape[1:])

    def _scaled(self, weight: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """[units, n] of features [k, n], each divided by its root mean square."""
        square = torch.linalg.vector_norm(features, dim=1).square() / features.shape[1]
        return (weight * torch.rsqrt(square + self.scale_epsilon)[:, None]).T @ features

    def _full_factors(self, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The inverse roots of second moments that are not factored, for gradient and momenta."""
        return (torch.rsqrt(second + x) for x in (self.factor_epsilon, self.root_epsilon))  # pyright: ignore[reportReturnType]

    def _factors(self, state: State, axes: FactoredAxes) -> torch.Tensor:
        """The inverse roots of the second moments, as in Adafactor (arXiv:1804.04235)."""
        row = state["row"]
        share = row / (row.mean(axes.row + 1, keepdim=True) + self.factor_epsilon)
        inverse_root = lambda x: torch.rsqrt(x.clamp(min=self.factor_epsilon))
        return inverse_root(share) * inverse_root(state["column"])
