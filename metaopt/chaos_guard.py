"""Whether successive outer gradients still say anything: where training turns chaotic, they do not.

Beyond some learning rate the gradient of a long run exists, is huge, and has nothing to do with the
slope of the loss (Maclaurin et al. 2015, https://arxiv.org/abs/1502.03492, section 4). Then norms
of successive gradients grow by orders of magnitude, or every gradient points back to where the last
one came from.
"""

import dataclasses
import math
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np

from metaopt.learned_optimizers.base import MetaParams
from taskset.errors import InputError

Action: TypeAlias = Literal["off", "warn", "stop"]


class Watched(NamedTuple):
    """What is remembered of the outer steps so far."""

    direction: np.ndarray | None = None  # the last gradient, flat, of norm 1
    norms: tuple[float, ...] = ()  # of the last gradients, the newest at the end
    reversals: int = 0  # gradients, up to the last, that each point against the one before


class Reading(NamedTuple):
    """What a gradient says together with those before it."""

    cosine: float  # with the last one; NaN for the first
    growth: float  # its norm, over the least norm within the window
    alarm: str  # what is wrong, in words; empty when nothing is

    def record(self) -> dict[str, Any]:
        """What telemetry is told; nothing of a cosine that there is none of."""
        cosine = {} if math.isnan(self.cosine) else {"cosine": self.cosine}
        return {**cosine, "growth": self.growth, "alarm": self.alarm}


@dataclasses.dataclass(frozen=True)
class ChaosGuard:
    """When gradients count as chaotic. Raises `InputError` for limits out of range."""

    action: Action = "warn"
    growth: float = 10.0  # of the norm
    window: int = 3  # outer steps that it has to grow in
    reversals: int = 10  # gradients in a row with a negative cosine

    def __post_init__(self) -> None:
        if not 1 < self.growth < math.inf:
            raise InputError(f"guard.growth is {self.growth}; it must be finite and above 1")
        for name in ("window", "reversals"):
            if getattr(self, name) < 1:
                raise InputError(f"guard.{name} is {getattr(self, name)}; it must be at least 1")

    def watch(self, watched: Watched, gradient: MetaParams) -> tuple[Watched, Reading]:
        """Takes the next outer gradient."""
        flat = np.concatenate(
            [np.ravel(np.asarray(leaf, np.float64)) for leaf in jax.tree.leaves(gradient)]
        )
        norm = float(np.linalg.norm(flat))
        direction = flat / norm if norm else flat
        cosine = math.nan if watched.direction is None else float(direction @ watched.direction)
        reversals = watched.reversals + 1 if cosine < 0 else 0
        norms = (*watched.norms[-self.window :], norm)
        growth = norm / least if (least := min(filter(None, norms), default=0.0)) else 1.0
        reading = Reading(cosine, growth, self._alarm(growth, reversals, norm))
        return Watched(direction, norms, reversals), reading

    def _alarm(self, growth: float, reversals: int, norm: float) -> str:
        if growth >= self.growth:
            return (
                f"the norm of the outer gradient grew {growth:.3g} times within {self.window} "
                f"steps, to {norm:.3g}: training may be chaotic here; lower the rates that it is "
                "started with or the outer one, clip, or use PersistentES"
            )
        if reversals >= self.reversals:
            return (
                f"{reversals} outer gradients in a row pointed against the last one: the outer "
                "learning rate is too large, or training is chaotic here"
            )
        return ""
