"""Where a value lies between the ends of an axis, and which values have a tick."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

Kind: TypeAlias = Literal["linear", "log"]
MARGIN = 0.04  # of the height that no line reaches


class Scale(NamedTuple):
    """An axis from `low` to `high`, which are positive where it is logarithmic."""

    kind: Kind
    low: float
    high: float

    def place(self, values: np.ndarray) -> np.ndarray:
        """From 0 at `low` to 1 at `high`; what lies beyond them, at most that."""
        low, high = self._of(np.asarray([self.low, self.high]))
        return np.clip((self._of(np.asarray(values)) - low) / (high - low), 0.0, 1.0)

    def _of(self, values: np.ndarray) -> np.ndarray:
        if self.kind == "linear":
            return np.asarray(values, np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(values > 0, np.log10(np.maximum(values, 0.0)), -np.inf)

    def ticks(self, number: int = 5) -> list[float]:
        """Round values from `low` to `high`, about `number` of them."""
        return _powers(self, number) if self.kind == "log" else _multiples(self, number)


def around(values: np.ndarray, kind: Kind, margin: float = MARGIN) -> Scale:
    """A scale on which all finite `values` fit; linear where some are not positive."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Scale("linear", 0.0, 1.0)
    low, high = float(np.min(finite)), float(np.max(finite))
    if kind == "log" and low > 0:
        wider = max(high / low, 1.1) ** margin
        return Scale("log", low / wider, high * wider)
    wider = margin * (high - low) or 0.1 * abs(high) or 1.0
    return Scale("linear", low - wider, high + wider)


def _multiples(scale: Scale, number: int) -> list[float]:
    rough = (scale.high - scale.low) / number
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _powers(scale: Scale, number: int) -> list[float]:
    low, high = math.log10(scale.low), math.log10(scale.high)
    if high - low < 0.6:
        return _multiples(scale, number)
    mantissas: Sequence[float] = (
        (1, 2, 5) if high - low < 1.7 else (1, 3) if high - low < 2.5 else (1,)
    )
    every = max(1, math.ceil((high - low) / number))
    exponents = [e for e in range(math.floor(low), math.ceil(high) + 1) if e % every == 0]
    values = [m * 10.0**e for e in exponents for m in mantissas]
    return [value for value in values if scale.low * (1 - 1e-9) <= value <= scale.high * (1 + 1e-9)]
