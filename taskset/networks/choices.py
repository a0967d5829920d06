"""One of a few variants of a computation: fixed when a program is built, or one of its inputs."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from taskset.networks.branches import anywhere
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

    def branch(self, variants: Mapping[str, Callable[[], jax.Array]]) -> jax.Array:
        """As `pick`, without computing what no task side by side has chosen; for dear variants."""
        if self.index is None:
            return self.pick(variants)
        chosen = {name: self.index == position for position, name in enumerate(self.names)}
        picked = nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(variants[self.names[0]]))
        for name, is_chosen in chosen.items():
            result = jax.lax.cond(anywhere(is_chosen), variants[name], lambda: nothing)
            picked = jnp.where(is_chosen, result, picked)
        return picked
