"""The bijector of masked autoregressive flows (https://arxiv.org/abs/1705.07057).

One network gives the shifts and scales of all features, and masks on its weights keep those of a
feature from depending on itself and on later ones (MADE, https://arxiv.org/abs/1502.03509). Every
unit has a degree; it sees units of lower layers of at most its degree. Feature i, from 1, has
degree i, and its outputs see hidden units of lower degrees only.
"""

import dataclasses
import itertools
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from taskset.base import Key, Params
from taskset.networks.activations import Activation
from taskset.networks.clipping import clip_preserving_gradient
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim, Scalar
from taskset.networks.flows import LOG_SCALE_LIMITS, Bijector
from taskset.networks.initializers import Initializer

Degrees: TypeAlias = Literal["even", "blocks"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Autoregressive(Bijector):
    """Every feature is shifted and scaled by functions of the features before it.

    `degrees` says how hidden units get theirs. "even" spreads them over all that are of use. With
    "blocks", each has as many units as the features go into the width; a width below the number of
    features leaves none that an output may see: shifts and scales are then constants, the biases.
    """

    network: MLP  # of all features: shifts, then logarithms of scales
    degrees: Degrees = dataclasses.field(metadata={"static": True})

    def init(self, key: Key) -> Params:
        return self._masked(self.network.init(key))

    def normalize(self, params: Params, data: jax.Array) -> tuple[jax.Array, jax.Array]:
        shift, log_scale = self._shift_and_log_scale(self._masked(params), data)
        return (data - shift) * jnp.exp(-log_scale), -jnp.sum(log_scale, axis=-1)

    def generate(self, params: Params, noise: jax.Array) -> jax.Array:
        masked = self._masked(params)

        def next_feature(_: jax.Array, data: jax.Array) -> jax.Array:
            shift, log_scale = self._shift_and_log_scale(masked, data)
            return noise * jnp.exp(log_scale) + shift

        # Each pass gets one more feature right.
        return jax.lax.fori_loop(0, noise.shape[1], next_feature, jnp.zeros_like(noise))

    def _shift_and_log_scale(self, masked: Params, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        shift, log_scale = self.network.inputs.halves(self.network.apply(masked, x))
        return shift, clip_preserving_gradient(log_scale, *LOG_SCALE_LIMITS)

    def _masked(self, params: Params) -> Params:
        """The parameters with zeros for weights between units that must not see each other."""
        features, hidden = self.network.inputs, self.network.hidden
        feature_degrees = jnp.arange(1, features.padded + 1)
        # Two outputs per feature, the second of which start after the real ones of the first.
        output = jnp.arange(2 * features.padded)
        output_degrees = output % _real(features) + 1
        degrees = [feature_degrees, *(self._hidden_degrees(width) for width in hidden)]
        layers = {}
        for index, (below, above) in enumerate(itertools.pairwise(degrees)):
            layers[f"layer{index}"] = _keep(params[f"layer{index}"], above[None] >= below[:, None])
        last = f"layer{len(hidden)}"
        below = self._last_degrees(degrees)
        layers[last] = _keep(params[last], output_degrees[None] > below[:, None])
        return layers

    def _hidden_degrees(self, width: Dim) -> jax.Array:
        features, size = _real(self.network.inputs), _real(width)
        unit = jnp.arange(width.padded)
        if self.degrees == "even":
            return 1 + (2 * unit + 1) * (features - 1) // (2 * size)
        block = jnp.asarray(size // features)
        return jnp.where(block > 0, unit // jnp.maximum(block, 1), features)

    def _last_degrees(self, degrees: list[jax.Array]) -> jax.Array:
        """The degrees of the hidden layer that the outputs see."""
        if self.network.depth is None:
            return degrees[-1]
        return jnp.stack(degrees[1:])[self.network.depth - 1]


def _real(dim: Dim) -> Scalar:
    return dim.padded if dim.size is None else dim.size


def _keep(layer: Params, mask: jax.Array) -> Params:
    return {**layer, "weight": jnp.where(mask, layer["weight"], 0.0)}


def autoregressive(
    features: Dim,
    hidden: tuple[Dim, ...],
    activation: Activation,
    initializer: Initializer,
    *,
    depth: Scalar | None = None,
    degrees: Degrees = "even",
) -> Autoregressive:
    """An autoregressive bijector of `features` in their order."""
    network = MLP(features, hidden, features.twice, activation, initializer, depth)
    return Autoregressive(network, degrees)
