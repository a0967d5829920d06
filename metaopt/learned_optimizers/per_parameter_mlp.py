"""An MLP on momenta, the same for every parameter.

`MLPLOpt` of google/learned_optimization, the flat optimizer of Metz et al. 2019, "Understanding and
correcting pathologies in the training of learned optimizers" (https://arxiv.org/abs/1810.10180),
with one more hidden layer: 8 features of a parameter, each divided by its root mean square over the
tensor, and 11 of time enter an MLP with two hidden layers of 32 units; its outputs, a direction d
and a magnitude m, move the parameter by -0.001 d exp(0.001 m).

The features, in the order of the rows of the first layer: gradient, parameter, momenta of decays
.1, .5, .9, .99, .999 and .9999, and tanh(t / x - 1) for 11 time scales x.
"""

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
    zeros_like_params,
)
from metaopt.learned_optimizers.features import (
    SCALE_EPSILON,
    TIME_SCALES,
    averages,
    time_features,
)
from metaopt.learned_optimizers.network import apply_to_features, init_network
from taskset.base import Key

MOMENTUM_DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


class PerParameterMLPState(NamedTuple):
    """Momenta: for each decay one tree of the structure of the parameters."""

    step: jax.Array  # [] int32
    momentum: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class PerParameterMLP(LearnedOptimizer):
    """1,762 meta-parameters: the weights of the MLP."""

    constants: ClassVar[Mapping[str, Any]] = {
        "momentum_decays": MOMENTUM_DECAYS,
        "time_scales": TIME_SCALES,
        "scale_epsilon": SCALE_EPSILON,
    }

    hidden_size: int = 32
    step_multiplier: float = 1e-3  # of the direction
    exp_multiplier: float = 1e-3  # of the logarithm of the magnitude

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        momenta = {"momenta": len(MOMENTUM_DECAYS), "time": len(TIME_SCALES)}
        return {"parameter": {"gradient": 1, "parameter": 1, **momenta}}

    def init(self, key: Key) -> MetaParams:
        return init_network(
            key, (self.num_features("parameter"), self.hidden_size, self.hidden_size, 2)
        )

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        del num_steps

        def init(params: Any) -> PerParameterMLPState:
            momentum = tuple(zeros_like_params(params) for _ in MOMENTUM_DECAYS)
            return PerParameterMLPState(jnp.zeros((), jnp.int32), momentum)

        def update(gradients: Any, state: PerParameterMLPState, params: Any, **extra_args: Any):
            del extra_args
            time = time_features(state.step)

            def tensor(gradient: jax.Array, param: jax.Array, *old: jax.Array):
                momentum = averages(MOMENTUM_DECAYS, old, gradient)
                features = [gradient, param, *momentum]
                (direction, magnitude), _ = apply_to_features(meta_params, features, time)
                step = self.step_multiplier * direction * jnp.exp(self.exp_multiplier * magnitude)
                return -step, *momentum

            updates, momentum = map_tensors(tensor, gradients, params, state.momentum)
            step = jnp.asarray(optax.safe_increment(state.step))
            return updates, PerParameterMLPState(step, tuple(momentum))

        return transformation(init, update)
