"""Weights as functions of the hyper-parameters: the approximate best response.

MacKay et al. 2019 (https://arxiv.org/abs/1903.03088), section 3: what is trained are the weights
themselves, *elementary*, and a *response* that is added to them, linear in the hyper-parameters. Of
a matrix it is of the same shape times a gate for each output; of a vector, any.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from taskset.base import Key, Params

GATE_STDDEV = 0.01


class BestResponse(NamedTuple):
    """What the inner optimizer trains."""

    elementary: Any
    response: Any

    @classmethod
    def of_layers(cls, layers: Mapping[str, "BestResponse"]) -> "BestResponse":
        """A network of named layers."""
        return cls(
            {name: layer.elementary for name, layer in layers.items()},
            {name: layer.response for name, layer in layers.items()},
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Responsive:
    """A best response at some hyper-parameters: what networks of `layers` are applied with."""

    elementary: Any
    response: Any
    position: jax.Array  # [num_hyperparameters], free numbers, or their distance from the present

    def __getitem__(self, name: str) -> "Responsive":
        """The layer `name`."""
        return Responsive(self.elementary[name], self.response[name], self.position)


class Gated(NamedTuple):
    """The response of a tensor with rows: the tensor times a gate for each of the last axis."""

    weight: jax.Array  # of the shape of the elementary one
    gates: jax.Array  # [num_hyperparameters, outputs]


def init_gates(key: Key, num: int, outputs: int, centred: bool) -> jax.Array:
    """[num, outputs]; zeros where positions are distances, so that a response begins as none."""
    if centred:
        return jnp.zeros((num, outputs))
    return GATE_STDDEV * jax.random.normal(key, (num, outputs))


def of_tensors(params: Params, other: Params, key: Key, num: int, centred: bool) -> BestResponse:
    """A best response for each tensor of `params`; `other` is another draw of them."""

    def response(key: Key, tensor: jax.Array, other: jax.Array) -> Any:
        if tensor.ndim < 2:
            return jnp.zeros((num, *tensor.shape), tensor.dtype)
        return Gated(other, init_gates(key, num, tensor.shape[-1], centred).astype(tensor.dtype))

    leaves, structure = jax.tree.flatten(params)
    keys = structure.unflatten(jax.random.split(key, len(leaves)))
    return BestResponse(params, jax.tree.map(response, keys, params, other))


def tensors_at(params: BestResponse, position: jax.Array) -> Params:
    """What `of_tensors` has become at `position`, [num_hyperparameters]."""

    def tensor(elementary: jax.Array, response: Gated | jax.Array) -> jax.Array:
        along = position.astype(elementary.dtype)
        if isinstance(response, Gated):
            return elementary + along_last(along @ response.gates, elementary) * response.weight
        return elementary + jnp.tensordot(along, response, 1)

    return jax.tree.map(tensor, *params)


def along_last(vector: jax.Array, like: jax.Array) -> jax.Array:
    """`vector`, [n], as an array of as many axes as `like`, to go along the last."""
    return vector.reshape((1,) * (like.ndim - 1) + (-1,))
