"""Recurrent cells inside learned optimizers, feature-major: [features, cells]."""

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from metaopt.learned_optimizers.network import init_network
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


def lstm(weights: CellWeights, inputs: jax.Array, state: LSTMState) -> LSTMState:
    """One step of a long short-term memory; `inputs` are [inputs, cells]."""
    stacked = jnp.concatenate([inputs, state.output])
    gates = weights["weight"].T @ stacked + weights["bias"][:, None]
    enter, candidate, forget, leave = jnp.split(gates, 4)
    memory = jax.nn.sigmoid(forget + FORGET_BIAS) * state.memory
    memory = memory + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
    return LSTMState(jax.nn.sigmoid(leave) * jnp.tanh(memory), memory)
