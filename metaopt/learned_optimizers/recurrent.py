"""Recurrent cells inside learned optimizers, feature-major: [features, cells]."""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from metaopt.learned_optimizers.network import dense, init_network
from taskset.base import Key

FORGET_BIAS = 1.0  # so that a new cell remembers

CellWeights: TypeAlias = dict[str, jax.Array]  # {"weight": [inputs + units, n], "bias": [n]}


class LSTMState(NamedTuple):
    """Of a number of cells, [units, cells] each, or of one, [units]."""

    output: jax.Array
    memory: jax.Array


def init_lstm(key: Key, num_inputs: int, num_units: int) -> CellWeights:
    """Weights of the gates input, candidate, forget, output; biases zero."""
    return init_network(key, (num_inputs + num_units, 4 * num_units))["layer0"]


def init_lstm_state(key: Key, num_units: int) -> dict[str, jax.Array]:
    """A learned start of a cell: {"output": [units], "memory": [units]}, small and normal."""
    draw = 0.1 * jax.random.normal(key, (2, num_units), jnp.float32)
    return {"output": draw[0], "memory": draw[1]}


def start_of(learned: dict[str, jax.Array], num_cells: int) -> LSTMState:
    """The state of `num_cells` cells that start at what was learned."""
    repeat = lambda x: jnp.broadcast_to(x[:, None], (len(x), num_cells))
    return LSTMState(repeat(learned["output"]), repeat(learned["memory"]))


def init_gru(key: Key, num_inputs: int, num_units: int) -> dict[str, CellWeights]:
    """Weights of the gates update and reset, and of the candidate; biases zero."""
    key_gates, key_candidate = jax.random.split(key)
    num_rows = num_inputs + num_units
    return {
        "gates": init_network(key_gates, (num_rows, 2 * num_units))["layer0"],
        "candidate": init_network(key_candidate, (num_rows, num_units))["layer0"],
    }


def gru(
    weights: dict[str, CellWeights], inputs: jax.Array, output: jax.Array, bias: jax.Array
) -> jax.Array:
    """One step of a gated recurrent unit, [units, cells], from its last output.

    `inputs` are [inputs, cells]; `bias`, [3 units, cells or 1], is added to update, reset and
    candidate: what another network says to the cell.
    """
    of_gates, of_candidate = bias[: 2 * len(output)], bias[2 * len(output) :]
    gates = dense(weights["gates"], jnp.concatenate([inputs, output])) + of_gates
    update, reset = jnp.split(jax.nn.sigmoid(gates), 2)
    remembered = jnp.concatenate([inputs, reset * output])
    candidate = jnp.tanh(dense(weights["candidate"], remembered) + of_candidate)
    return update * output + (1 - update) * candidate


def lstm(weights: CellWeights, inputs: jax.Array, state: LSTMState) -> LSTMState:
    """One step of a long short-term memory; `inputs` are [inputs, cells]."""
    gates = dense(weights, jnp.concatenate([inputs, state.output]))
    enter, candidate, forget, leave = jnp.split(gates, 4)
    memory = jax.nn.sigmoid(forget + FORGET_BIAS) * state.memory
    memory = memory + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
    return LSTMState(jax.nn.sigmoid(leave) * jnp.tanh(memory), memory)
