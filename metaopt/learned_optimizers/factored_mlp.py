"""A tiny MLP on Adam and Adafactor statistics, the same for every parameter.

`small_fc_lopt` of Metz et al. 2022, "Practical tradeoffs between memory, compute, and performance
in learned optimizers" (https://arxiv.org/abs/2203.11860): the 28 features of `factored_features`
and 11 of time, which are not scaled, enter an MLP with two hidden layers of 4 units; its outputs, a
direction d and a magnitude m, move the parameter by -0.001 d exp(0.001 m).
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers.base import (
    LearnedOptimizer,
    MetaParams,
    map_tensors,
    transformation,
)
from metaopt.learned_optimizers.factored_features import (
    CONSTANTS,
    FACTORED_DECAYS,
    FEATURES,
    MOMENTUM_DECAYS,
    SECOND_MOMENT_DECAYS,
    Decays,
    Inputs,
    Statistics,
    accumulate,
    apply_to_statistics,
    grouped,
    zero_statistics,
)
from metaopt.learned_optimizers.features import TIME_SCALES, offset_decays, time_features
from metaopt.learned_optimizers.network import init_network
from taskset.base import Key


class FactoredMLPState(NamedTuple):
    """Accumulators: for each decay one tree of the structure of the parameters."""

    step: jax.Array  # [] int32
    statistics: Statistics


@dataclasses.dataclass(frozen=True)
class FactoredNetwork(LearnedOptimizer):
    """What an MLP on these features and learned decays have in common, whatever its outputs do."""

    constants: ClassVar[Mapping[str, Any]] = {**CONSTANTS, "time_scales": TIME_SCALES}
    num_outputs: ClassVar[int]

    hidden_size: int = 4
    step_multiplier: float = 1e-3  # of the direction
    exp_multiplier: float = 1e-3  # of the logarithm of the magnitude

    @abc.abstractmethod
    def step(self, outputs: list[jax.Array], inputs: Inputs) -> jax.Array:
        """How far the parameters of a tensor go down; `outputs` are each of its shape."""

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        return {"parameter": {**FEATURES, "time": len(TIME_SCALES)}}

    def init(self, key: Key) -> MetaParams:
        hidden = (self.hidden_size, self.hidden_size)
        return {
            "network": init_network(
                key, (self.num_features("parameter"), *hidden, self.num_outputs)
            ),
            "momentum_decay": jnp.zeros(len(MOMENTUM_DECAYS), jnp.float32),
            "second_moment_decay": jnp.zeros(len(SECOND_MOMENT_DECAYS), jnp.float32),
            "factored_decay": jnp.zeros(len(FACTORED_DECAYS), jnp.float32),
        }

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        del num_steps
        decays = Decays(
            offset_decays(MOMENTUM_DECAYS, meta_params["momentum_decay"]),
            jnp.clip(offset_decays(SECOND_MOMENT_DECAYS, meta_params["second_moment_decay"]), 0, 1),
            jnp.clip(offset_decays(FACTORED_DECAYS, meta_params["factored_decay"]), 0, 1),
        )

        def init(params: Any) -> FactoredMLPState:
            return FactoredMLPState(jnp.zeros((), jnp.int32), zero_statistics(params))

        def update(gradients: Any, state: FactoredMLPState, params: Any, **extra_args: Any):
            del extra_args
            time = time_features(state.step)

            def tensor(gradient: jax.Array, param: jax.Array, *accumulators: Any):
                statistics = accumulate(gradient, grouped(accumulators), decays)
                network = jax.tree.map(lambda x: x.astype(param.dtype), meta_params["network"])
                inputs = Inputs(gradient, param, statistics)
                outputs = apply_to_statistics(network, inputs, time.astype(param.dtype))
                return -self.step(outputs, inputs), *statistics.flat()

            updates, flat = map_tensors(tensor, gradients, params, state.statistics.flat())
            step = jnp.asarray(optax.safe_increment(state.step))
            return updates, FactoredMLPState(step, grouped(flat))

        return transformation(init, update)


@dataclasses.dataclass(frozen=True)
class FactoredMLP(FactoredNetwork):
    """197 meta-parameters: the weights of the MLP, and 7 decays as offsets from their defaults."""

    num_outputs: ClassVar[int] = 2

    def step(self, outputs: list[jax.Array], inputs: Inputs) -> jax.Array:
        del inputs
        direction, magnitude = outputs
        return self.step_multiplier * direction * jnp.exp(self.exp_multiplier * magnitude)
