"""Normalizing flows: a density from invertible maps between data and normal noise.

A bijector turns noise into data part by part, x -> x * exp(log_scale) + shift, where the shift and
the scale of a part depend on parts before it. Between bijectors, the features are permuted.

    noise ──► bijector 0 ──► permutation 0 ──► bijector 1 ──► ... ──► data      generate
    noise ◄── bijector 0 ◄── permutation 0 ◄── bijector 1 ◄── ... ◄── data      normalize
"""

import abc
import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Key, Params
from taskset.networks.dims import Dim, Scalar

LOG_SCALE_LIMITS = (-5.0, 3.0)  # with the gradient as if there were none


class Bijector(abc.ABC):
    """An invertible map of [batch, features]; what is padding stays zero."""

    @abc.abstractmethod
    def init(self, key: Key) -> Params:
        """The start of its weights."""

    @abc.abstractmethod
    def normalize(self, params: Params, data: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The noise of `data`, and the log-determinant of this direction's Jacobian, [batch]."""

    @abc.abstractmethod
    def generate(self, params: Params, noise: jax.Array) -> jax.Array:
        """The data of `noise`: the inverse of `normalize`."""


class Permutation(NamedTuple):
    """A fixed order of features; both arrays are [features] int32."""

    order: Scalar
    inverse: Scalar


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Flow:
    """Bijectors of one kind with permutations between, over a standard normal distribution.

    The first `depth` bijectors are used; the others are padding, with no gradient.
    """

    features: Dim
    bijector: Bijector
    permutations: tuple[Permutation, ...]  # one fewer than bijectors
    depth: Scalar | None = None  # [] int32, at least 1; None: all

    def init(self, key: Key) -> Params:
        """`{"bijector0": ..., "bijector1": ...}`, each as the bijector's own; zero for padding."""
        params = {}
        for index in range(len(self.permutations) + 1):
            one = self.bijector.init(jax.random.fold_in(key, index))
            if self.depth is not None:
                used = index < self.depth
                one = jax.tree.map(lambda x, used=used: jnp.where(used, x, 0.0), one)
            params[f"bijector{index}"] = one
        return params

    def log_prob(self, params: Params, data: jax.Array) -> jax.Array:
        """The log-density in nats, [batch], of data [batch, features]."""
        noise, log_det = self.normalize(params, data)
        constant = 0.5 * math.log(2 * math.pi) * self.features.count
        return log_det - 0.5 * self.features.sum(noise * noise, axis=-1) - constant

    def normalize(self, params: Params, data: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The noise of `data`, and the log-determinant of this direction's Jacobian, [batch]."""
        state = data, jnp.zeros(data.shape[0], data.dtype)
        for index in reversed(range(len(self.permutations) + 1)):
            step = lambda state, index=index: self._normalize_one(params, index, *state)
            if self.depth is None or index == 0:
                state = step(state)
            else:
                state = jax.lax.cond(index < self.depth, step, lambda state: state, state)
        return state

    def generate(self, params: Params, noise: jax.Array) -> jax.Array:
        """The data of `noise`, [batch, features]; for flows without padding."""
        data = self.bijector.generate(params["bijector0"], noise)
        for index, permutation in enumerate(self.permutations, start=1):
            data = self.bijector.generate(params[f"bijector{index}"], data[:, permutation.order])
        return data

    def _normalize_one(
        self, params: Params, index: int, data: jax.Array, log_det: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Bijector `index`, and the permutation that came before it in generating."""
        data, change = self.bijector.normalize(params[f"bijector{index}"], data)
        if index > 0:
            order, inverse = self.permutations[index - 1]
            data = permute(data, inverse, order)
        return data, log_det + change


def permutation(index: int, features: Dim) -> Permutation:
    """The permutation numpy draws from seed `index`; padding stays where it is."""
    size = features.padded if features.size is None else int(features.size)
    padding = np.arange(size, features.padded)
    order = np.concatenate([np.random.RandomState(index).permutation(size), padding])
    return Permutation(order.astype(np.int32), np.argsort(order).astype(np.int32))


@jax.custom_jvp
def permute(x: jax.Array, order: jax.Array, inverse: jax.Array) -> jax.Array:
    """The columns of `x`, [batch, features], in this order."""
    del inverse
    return x.at[:, order].get(mode="promise_in_bounds", unique_indices=True)


@permute.defjvp
def _permute_jvp(primals, tangents):
    # Written as a scatter, whose transpose is a gather: a gradient then takes no scatter, which is
    # several times slower.
    x, order, inverse = primals
    moved = jnp.zeros_like(x).at[:, inverse]
    tangent = moved.set(tangents[0], mode="promise_in_bounds", unique_indices=True)
    return permute(x, order, inverse), tangent
