"""Layers that respond to hyper-parameters, by a correction of their activations.

MacKay et al. 2019 (https://arxiv.org/abs/1903.03088), section 3.2: W x + b + (V p) * (W' x) + (C p)
* b', with p the hyper-parameters. No weights are made for it, so that under `vmap` each example has
its own p at the price of two plain layers. Layers are dictionaries of tensors, outputs last;
`responsive["name"]` is one of them at its position.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metaopt.self_tuning.responses import BestResponse, Responsive, along_last, init_gates
from taskset.base import Key


class Draws(NamedTuple):
    """What makes a layer."""

    key: Key
    num: int  # of hyper-parameters, as `SelfTuning.num_hyperparameters`
    centred: bool = False  # as in `SelfTuning`


def init_dense(draws: Draws, inputs: int, outputs: int) -> BestResponse:
    """{"weight": [inputs, outputs], "bias": [outputs]}, and "gates" of both in the response."""
    return _init_layer(draws, (inputs, outputs), inputs)


def init_conv(draws: Draws, size: tuple[int, int], inputs: int, outputs: int) -> BestResponse:
    """The same with a weight [height, width, inputs, outputs]."""
    return _init_layer(draws, (*size, inputs, outputs), size[0] * size[1] * inputs)


def init_embedding(draws: Draws, num_words: int, units: int) -> BestResponse:
    """{"table": [num_words, units]}, uniform in +-0.1, and "gates" of its units."""
    key_elementary, key_response, key_gates = jax.random.split(draws.key, 3)
    table = lambda key: jax.random.uniform(key, (num_words, units), minval=-0.1, maxval=0.1)
    gates = init_gates(key_gates, draws.num, units, draws.centred)
    response = {"table": table(key_response), "gates": gates}
    return BestResponse({"table": table(key_elementary)}, response)


def init_lstm(draws: Draws, inputs: int, units: int) -> BestResponse:
    """Two dense layers, "input" and "hidden", to gates to forget, input, output, and candidate."""
    key_input, key_hidden = jax.random.split(draws.key)
    return BestResponse.of_layers(
        {
            "input": init_dense(draws._replace(key=key_input), inputs, 4 * units),
            "hidden": init_dense(draws._replace(key=key_hidden), units, 4 * units),
        }
    )


def dense(layer: Responsive, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """[..., inputs] to [..., outputs]; `mask`, [inputs, outputs], multiplies both weights."""
    masked = lambda weight: weight if mask is None else weight * mask
    plain = x @ masked(layer.elementary["weight"])
    return _corrected(layer, plain, x @ masked(layer.response["weight"]))


def conv(
    layer: Responsive, x: jax.Array, strides: Sequence[int] = (1, 1), padding: str = "SAME"
) -> jax.Array:
    """[batch, height, width, inputs] to [batch, height, width, outputs]."""

    def of(weight: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, weight, strides, padding, dimension_numbers=numbers)

    return _corrected(layer, of(layer.elementary["weight"]), of(layer.response["weight"]))


def embed(layer: Responsive, words: jax.Array) -> jax.Array:
    """[...] int to [..., units]; the elementary table is what a tied decoder takes."""
    corrections = layer.response["table"][words]
    gate = along_last(layer.position @ layer.response["gates"], corrections)
    return layer.elementary["table"][words] + gate * corrections


class LSTMState(NamedTuple):
    """Each [..., units]."""

    hidden: jax.Array
    cell: jax.Array


def lstm_step(
    layer: Responsive, state: LSTMState, x: jax.Array, mask: jax.Array | None = None
) -> LSTMState:
    """The state after x, [..., inputs]; the output is its `hidden`.

    `mask`, [units, 4 * units], is of the hidden weights (DropConnect), the same at every step.
    """
    sums = dense(layer["input"], x) + dense(layer["hidden"], state.hidden, mask)
    forget, enter, leave, candidate = jnp.split(sums, 4, axis=-1)
    cell = jax.nn.sigmoid(forget) * state.cell + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
    return LSTMState(jax.nn.sigmoid(leave) * jnp.tanh(cell), cell)


def init_correction(draws: Draws, shape: tuple[int, ...], fan_in: int) -> dict[str, jax.Array]:
    """The response of a layer with a weight of `shape`; its gates, [num, 2 * outputs]."""
    key_weights, key_gates = jax.random.split(draws.key)
    gates = init_gates(key_gates, draws.num, 2 * shape[-1], draws.centred)
    return {**_init_weights(key_weights, shape, fan_in), "gates": gates}


def correction(
    position: jax.Array, response: dict[str, jax.Array], product: jax.Array
) -> jax.Array:
    """What is added to the activations: `product` is that of the weight of `response`."""
    scale, shift = jnp.split(position @ response["gates"], 2)
    shift = along_last(shift * response["bias"], product)
    return along_last(scale, product) * product + shift


def _init_layer(draws: Draws, shape: tuple[int, ...], fan_in: int) -> BestResponse:
    key_elementary, key_response = jax.random.split(draws.key)
    response = init_correction(draws._replace(key=key_response), shape, fan_in)
    return BestResponse(_init_weights(key_elementary, shape, fan_in), response)


def _init_weights(key: Key, shape: tuple[int, ...], fan_in: int) -> dict[str, jax.Array]:
    """Uniform in +-fan_in^-1/2."""
    key_weight, key_bias = jax.random.split(key)
    bound = fan_in**-0.5
    draw = lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound)
    return {"weight": draw(key_weight, shape), "bias": draw(key_bias, shape[-1:])}


def _corrected(layer: Responsive, plain: jax.Array, product: jax.Array) -> jax.Array:
    plain = plain + along_last(layer.elementary["bias"], plain)
    return plain + correction(layer.position, layer.response, product)
