"""The bijector of Real NVP (https://arxiv.org/abs/1605.08803)."""

import dataclasses

import jax
import jax.numpy as jnp

from taskset.base import Key, Params
from taskset.networks.activations import Activation
from taskset.networks.clipping import clip_preserving_gradient
from taskset.networks.dense import MLP
from taskset.networks.dims import Dim, Scalar
from taskset.networks.flows import LOG_SCALE_LIMITS, Bijector
from taskset.networks.initializers import Initializer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Coupling(Bijector):
    """The first half of the features stays; it decides the shift and scale of the second."""

    network: MLP  # of the first half: shifts, then logarithms of scales, of the second
    second: Dim  # the features that change
    bound: bool = dataclasses.field(metadata={"static": True})  # whether log-scales have limits

    def init(self, key: Key) -> Params:
        return self.network.init(key)

    def normalize(self, params: Params, data: jax.Array) -> tuple[jax.Array, jax.Array]:
        shift, log_scale = self._shift_and_log_scale(params, data)
        second = (self._second_of(data) - shift) * jnp.exp(-log_scale)
        return self._with_second(data, second), -self.second.sum(log_scale, axis=-1)

    def generate(self, params: Params, noise: jax.Array) -> jax.Array:
        shift, log_scale = self._shift_and_log_scale(params, noise)
        return self._with_second(noise, self._second_of(noise) * jnp.exp(log_scale) + shift)

    def _shift_and_log_scale(self, params: Params, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        first = self.network.inputs
        outputs = self.network.apply(params, first.clear(x[:, : first.padded]))
        shift, log_scale = self.second.halves(outputs)
        if self.bound:
            log_scale = clip_preserving_gradient(log_scale, *LOG_SCALE_LIMITS)
        return shift, log_scale

    @property
    def _start(self) -> Scalar:
        """Where the second half starts."""
        first = self.network.inputs
        return first.padded if first.size is None else first.size

    def _second_of(self, x: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice_in_dim(x, self._start, self.second.padded, axis=1)

    def _with_second(self, x: jax.Array, second: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(x, second, self._start, axis=1)


def coupling(
    features: Dim,
    hidden: tuple[Dim, ...],
    activation: Activation,
    initializer: Initializer,
    *,
    depth: Scalar | None = None,
    bound: bool = True,
) -> Coupling:
    """A coupling of `features`, of which the first half, rounded down, stays."""
    size, padded = features.size, features.padded
    first = Dim(padded // 2, None if size is None else size // 2)
    second = Dim(padded - padded // 2, None if size is None else size - size // 2)
    network = MLP(first, hidden, second.twice, activation, initializer, depth)
    return Coupling(network, second, bound)
