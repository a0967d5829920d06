"""One of a few variants of a computation: fixed when a program is built, or one of its inputs."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from taskset.networks.dims import Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Choice:
    """The choice of one of `names`; with an `index`, a program computes all and picks."""

    names: tuple[str, ...] = dataclasses.field(metadata={"static": True})
    index: Scalar | None = None  # [] int32; None: there is one name

    def pick(self, variants: Mapping[str, Callable[[], jax.Array]]) -> jax.Array:
        """The result of the chosen one of `variants`, which all give the same shape and dtype."""
        results = [variants[name]() for name in self.names]
        if self.index is None:
            return results[0]
        picked = results[0]
        for position, result in enumerate(results[1:], start=1):
            picked = jnp.where(self.index == position, result, picked)
        return picked
