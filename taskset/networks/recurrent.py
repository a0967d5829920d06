"""Recurrent cores: vanilla, GRU and LSTM, with the parameters and starts of Sonnet 1.

What a core does with its inputs does not depend on its state, so it is computed for many steps at
once, by `project`; only the rest is computed one step after the other, by `step`. A state is a
tuple of arrays [rows, hidden], of which the first is the output.
"""

import abc
import dataclasses
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from taskset.base import Key, Params
from taskset.networks.activations import Activation
from taskset.networks.dims import Dim, Scalar
from taskset.networks.initializers import UNIFORM, Initializer, initializer

State: TypeAlias = tuple[jax.Array, ...]

FORGET_BIAS = 1.0


@dataclasses.dataclass(frozen=True)
class Core(abc.ABC):
    """One step of a recurrent network. What is padding of `hidden` is zero in every state."""

    inputs: Dim
    hidden: Dim

    @property
    def num_states(self) -> int:
        """Arrays in a state."""
        return 1

    @abc.abstractmethod
    def init(self, key: Key) -> Params:
        """The weights, `{name: [inputs or hidden, ...]}`, and biases, `{name: [...]}`, float32."""

    @abc.abstractmethod
    def arrange(self, params: Params) -> Any:
        """`{"input": [inputs, n], "bias": [n], ...}`: the parameters as `step` wants them."""

    @abc.abstractmethod
    def step(self, weights: Any, state: State, projected: jax.Array) -> State:
        """The state after `state`, for inputs of which `projected`, [rows, n], is known."""


def project(weights: Any, inputs: jax.Array) -> jax.Array:
    """What a core adds up of its inputs, [..., inputs], before it looks at its state: [..., n]."""
    return jnp.matmul(inputs, weights["input"]) + _like(weights["bias"], inputs)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class VanillaCore(Core):
    """The activation of the sum of two dense layers, of inputs and state."""

    activation: Activation
    in_to_hidden: Any  # initialisers
    hidden_to_hidden: Any

    def init(self, key: Key) -> Params:
        key_input, key_hidden = jax.random.split(key)
        return {
            "in_to_hidden": self.in_to_hidden(key_input, self.inputs, self.hidden),
            "in_bias": jnp.zeros(self.hidden.padded),
            "hidden_to_hidden": self.hidden_to_hidden(key_hidden, self.hidden, self.hidden),
            "hidden_bias": jnp.zeros(self.hidden.padded),
        }

    def arrange(self, params: Params) -> Any:
        return {
            "input": params["in_to_hidden"],
            "bias": params["in_bias"] + params["hidden_bias"],
            "hidden": params["hidden_to_hidden"],
        }

    def step(self, weights: Any, state: State, projected: jax.Array) -> State:
        (hidden,) = state
        return (self.hidden.clear(self.activation(projected + hidden @ weights["hidden"])),)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GRUCore(Core):
    """A gated recurrent unit (https://arxiv.org/abs/1406.1078): update z, reset r, candidate h.

    `w` are initialisers of the weights of inputs, `u` of those of the state, in the order z, r, h.
    """

    w: tuple[Any, ...]
    u: tuple[Any, ...]

    def init(self, key: Key) -> Params:
        params = {}
        for gate, key_gate, w, u in zip(
            "zrh", jax.random.split(key, 3), self.w, self.u, strict=True
        ):
            key_w, key_u, key_bias = jax.random.split(key_gate, 3)
            params[f"w{gate}"] = w(key_w, self.inputs, self.hidden)
            params[f"u{gate}"] = u(key_u, self.hidden, self.hidden)
            # Glorot uniform for a vector, whose fans are both its size.
            bias = _constant_scale(UNIFORM, 1.0, self.hidden.count)
            params[f"b{gate}"] = bias(key_bias, Dim(1), self.hidden)[0]
        return params

    def arrange(self, params: Params) -> Any:
        return {
            "input": jnp.concatenate([params[f"w{gate}"] for gate in "zrh"], axis=1),
            "bias": jnp.concatenate([params[f"b{gate}"] for gate in "zrh"]),
            "gates": jnp.concatenate([params["uz"], params["ur"]], axis=1),
            "candidate": params["uh"],
        }

    def step(self, weights: Any, state: State, projected: jax.Array) -> State:
        (hidden,) = state
        size = self.hidden.padded
        gates = jax.nn.sigmoid(projected[:, : 2 * size] + hidden @ weights["gates"])
        update, reset = gates[:, :size], gates[:, size:]
        candidate = jnp.tanh(projected[:, 2 * size :] + (reset * hidden) @ weights["candidate"])
        return (hidden + update * (candidate - hidden),)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class LSTMCore(Core):
    """Long short-term memory; gates: input, candidate, forget with 1 added, output.

    `gates` initialises one matrix, of inputs and state below each other, for all gates. In its
    columns, and in the bias, the four gates of a unit are neighbours.
    """

    gates: Any

    @property
    def num_states(self) -> int:
        return 2

    def init(self, key: Key) -> Params:
        key_kernel, key_bias = jax.random.split(key)
        rows, columns = self._sum(self.inputs, self.hidden), self._times_four()
        kernel = self.gates(key_kernel, rows, columns)
        first = self.inputs.padded if self.inputs.size is None else self.inputs.size
        hidden = jax.lax.dynamic_slice_in_dim(kernel, first, self.hidden.padded)
        bias = initializer("default", None)
        bias = dataclasses.replace(bias, inputs=np.float32(0), constant=rows.count)
        return {
            "input": self.inputs.clear(kernel[: self.inputs.padded], 0),
            "hidden": self.hidden.clear(hidden, 0),
            "bias": bias(key_bias, Dim(1), columns)[0],
        }

    def arrange(self, params: Params) -> Any:
        # From the gates of a unit side by side to the units of a gate side by side.
        by_gate = lambda x: x.reshape(-1, self.hidden.padded, 4).swapaxes(1, 2).reshape(x.shape)
        forget = np.repeat(np.asarray([0, 0, FORGET_BIAS, 0], np.float32), self.hidden.padded)
        return {
            "input": by_gate(params["input"]),
            "bias": by_gate(params["bias"]) + forget,
            "hidden": by_gate(params["hidden"]),
        }

    def step(self, weights: Any, state: State, projected: jax.Array) -> State:
        hidden, cell = state
        gates = jnp.split(projected + hidden @ weights["hidden"], 4, axis=1)
        write, candidate, keep, read = gates
        cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(write) * jnp.tanh(candidate)
        return jnp.tanh(cell) * jax.nn.sigmoid(read), cell

    def _sum(self, a: Dim, b: Dim) -> Dim:
        padded = a.padded + b.padded
        return Dim(padded) if a.size is None or b.size is None else Dim(padded, a.size + b.size)

    def _times_four(self) -> Dim:
        size = self.hidden.size
        return Dim(4 * self.hidden.padded, None if size is None else 4 * size)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class InitialState:
    """Zero, or one learned vector per array of the state, which starts at zero.

    With `used`, those vectors are parameters in any case, and multiplied with it.
    """

    trainable: bool = dataclasses.field(default=False, metadata={"static": True})
    used: Scalar | None = None  # [] float32, 1 or 0; None: 1

    def init(self, core: Core) -> Params:
        """`{"initial0": [hidden], ...}`, without any when the initial state is not learned."""
        count = core.num_states if self.trainable else 0
        return {f"initial{index}": jnp.zeros(core.hidden.padded) for index in range(count)}

    def of(self, params: Params, core: Core) -> State:
        """The state before the first step, the same for all sequences: leaves [1, hidden]."""
        if not self.trainable:
            return (jnp.zeros((1, core.hidden.padded)),) * core.num_states
        used = 1.0 if self.used is None else self.used
        return tuple(used * params[f"initial{i}"][None] for i in range(core.num_states))


def _constant_scale(distribution: int, gain: float, fans: jax.Array) -> Initializer:
    """Numbers of mean 0 and standard deviation `gain / sqrt(fans)`."""
    return Initializer(False, np.int32(distribution), np.float32(gain), constant=fans)


def _like(vector: jax.Array, x: jax.Array) -> jax.Array:
    return vector.reshape((1,) * (x.ndim - 1) + vector.shape)
