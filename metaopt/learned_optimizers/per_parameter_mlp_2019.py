"""The MLP of 2019, the same for every parameter: one hidden layer, fewer time scales.

The flat optimizer of Metz et al. 2019, "Understanding and correcting pathologies in the training of
learned optimizers" (https://arxiv.org/abs/1810.10180), as its authors released it: the features of
a parameter, each divided by its root mean square over the tensor, and 9 of time enter an MLP with a
hidden layer of 32 units; its outputs, a direction d and a magnitude m, move the parameter by
-0.001 d exp(0.001 m). `PerParameterMLP` is what later became of it.

The features, in the order of the rows of the first layer: gradient; with `second_moments`, for each
decay .5, .9, .99, .999, .9999 the momentum over the root of the second moment; the momenta;
parameter; tanh(t / x - 1) for 9 time scales x, of which the last is 300,000, not 30,000.
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
from metaopt.learned_optimizers.features import SCALE_EPSILON, averages, time_features
from metaopt.learned_optimizers.network import apply_to_features, init_network
from taskset.base import Key

DECAYS = (0.5, 0.9, 0.99, 0.999, 0.9999)
TIME_SCALES_2019 = (3, 10, 30, 100, 300, 1000, 3000, 10_000, 300_000)  # inner steps
ROOT_EPSILON = 1e-6  # added to second moments under a root


class PerParameterMLP2019State(NamedTuple):
    """Accumulators: for each decay one tree of the structure of the parameters."""

    step: jax.Array  # [] int32
    momentum: tuple[Any, ...]
    second_moment: tuple[Any, ...]  # empty where they are no features


@dataclasses.dataclass(frozen=True)
class PerParameterMLP2019(LearnedOptimizer):
    """610 meta-parameters, or 770 with second moments: the weights of the MLP."""

    constants: ClassVar[Mapping[str, Any]] = {
        "decays": DECAYS,
        "time_scales": TIME_SCALES_2019,
        "scale_epsilon": SCALE_EPSILON,
        "root_epsilon": ROOT_EPSILON,
    }

    hidden_size: int = 32
    second_moments: bool = False  # whether they are looked at
    step_multiplier: float = 1e-3  # of the direction
    exp_multiplier: float = 1e-3  # of the logarithm of the magnitude

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        of_gradient = {
            "momenta / roots of second moments": len(DECAYS) * self.second_moments,
            "momenta": len(DECAYS),
        }
        time = {"time": len(TIME_SCALES_2019)}
        return {"parameter": {"gradient": 1, **of_gradient, "parameter": 1, **time}}

    def init(self, key: Key) -> MetaParams:
        return init_network(key, (self.num_features("parameter"), self.hidden_size, 2))

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        del num_steps

        def init(params: Any) -> PerParameterMLP2019State:
            zeros = lambda: tuple(zeros_like_params(params) for _ in DECAYS)
            second_moment = zeros() if self.second_moments else ()
            return PerParameterMLP2019State(jnp.zeros((), jnp.int32), zeros(), second_moment)

        def update(gradients: Any, state: PerParameterMLP2019State, params: Any, **extra_args: Any):
            del extra_args
            time = time_features(state.step, TIME_SCALES_2019)

            def tensor(gradient: jax.Array, param: jax.Array, *old: jax.Array):
                momentum, second_moment = averages(DECAYS, old[: len(DECAYS)], gradient), []
                if self.second_moments:
                    second_moment = averages(DECAYS, old[len(DECAYS) :], jnp.square(gradient))
                roots = [jax.lax.rsqrt(v + ROOT_EPSILON) for v in second_moment]
                scaled = [m * root for m, root in zip(momentum, roots, strict=False)]
                features = [gradient, *scaled, *momentum, param]
                (direction, magnitude), _ = apply_to_features(meta_params, features, time)
                step = self.step_multiplier * direction * jnp.exp(self.exp_multiplier * magnitude)
                return -step, *momentum, *second_moment

            old = (*state.momentum, *state.second_moment)
            updates, new = map_tensors(tensor, gradients, params, old)
            step = jnp.asarray(optax.safe_increment(state.step))
            momentum, second_moment = new[: len(DECAYS)], new[len(DECAYS) :]
            return updates, PerParameterMLP2019State(step, tuple(momentum), tuple(second_moment))

        return transformation(init, update)
