"""A learned direction of a fixed length: the user gives the learning rate and its schedule.

Celo2, "Celo2: towards learned optimization free lunch" (https://arxiv.org/abs/2602.19142): an MLP
with two hidden layers of 8 units on the 30 features of `factored_features` gives a direction, which
is divided by its root mean square over the tensor. So there is no magnitude, no size of parameters
and no horizon to learn. Vectors and scalars move by Adam with 20 times the learning rate. With
`orthogonalize` a direction becomes a matrix with singular values near 1, by 5 Newton-Schulz steps.

A schedule is given to `metaopt.load`, whose `learning_rate` multiplies the updates.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers import factored_features
from metaopt.learned_optimizers.base import (
    LearnedOptimizer,
    MetaParams,
    map_tensors,
    transformation,
)
from metaopt.learned_optimizers.factored_features import (
    Decays,
    Inputs,
    Statistics,
    accumulate,
    apply_to_statistics,
    grouped,
    zero_statistics,
)
from metaopt.learned_optimizers.features import root
from metaopt.learned_optimizers.network import init_network
from taskset.base import Key

SECOND_MOMENT_DECAY = 0.95
VECTOR_MULTIPLE = 20.0  # of the learning rate, for vectors and scalars
ADAM_EPSILON = 1e-8
LENGTH_EPSILON = 1e-16  # added to the mean square of a direction
NUM_OUTPUTS = 3  # direction and two that nothing uses, for released weights to fit
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
NORM_EPSILON = 1e-7  # added to the norm of a direction before those


class Celo2State(NamedTuple):
    """Accumulators: for each decay one tree of the structure of the parameters."""

    step: jax.Array  # [] int32
    statistics: Statistics


@dataclasses.dataclass(frozen=True)
class Celo2(LearnedOptimizer):
    """347 meta-parameters: the weights of the MLP."""

    constants: ClassVar[Mapping[str, Any]] = {
        **factored_features.EXTENDED_CONSTANTS,
        "second_moment_decays": (SECOND_MOMENT_DECAY,),
        "vector_multiple": VECTOR_MULTIPLE,
        "adam_epsilon": ADAM_EPSILON,
        "length_epsilon": LENGTH_EPSILON,
        "newton_schulz": (*NEWTON_SCHULZ, NEWTON_SCHULZ_STEPS, NORM_EPSILON),
    }

    hidden_size: int = 8
    learning_rate: float = 1e-3  # root mean square of an update of a matrix
    orthogonalize: bool = False
    adam_for_vectors: bool = True  # else vectors and scalars move as matrices do

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        return {"parameter": factored_features.EXTENDED_FEATURES}

    def init(self, key: Key) -> MetaParams:
        hidden = (self.hidden_size, self.hidden_size)
        return init_network(key, (self.num_features("parameter"), *hidden, NUM_OUTPUTS))

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        del num_steps

        def init(params: Any) -> Celo2State:
            return Celo2State(jnp.zeros((), jnp.int32), zero_statistics(params))

        def update(gradients: Any, state: Celo2State, params: Any, **extra_args: Any):
            del extra_args

            def tensor(gradient: jax.Array, param: jax.Array, *old: Any):
                decays = Decays.fixed(second_moment=SECOND_MOMENT_DECAY)
                statistics = accumulate(gradient, grouped(old), decays)
                if self.adam_for_vectors and param.ndim < 2:
                    step = VECTOR_MULTIPLE * _adam(statistics, state.step)
                else:
                    step = self._direction(meta_params, Inputs(gradient, param, statistics))
                return -self.learning_rate * step, *statistics.flat()

            updates, flat = map_tensors(tensor, gradients, params, state.statistics.flat())
            step = jnp.asarray(optax.safe_increment(state.step))
            return updates, Celo2State(step, grouped(flat))

        return transformation(init, update)

    def _direction(self, meta_params: MetaParams, inputs: Inputs) -> jax.Array:
        """Of mean square 1 over the tensor."""
        dtype = inputs.param.dtype
        network = jax.tree.map(lambda x: x.astype(dtype), meta_params)
        direction, *_ = apply_to_statistics(network, inputs, jnp.zeros(0, dtype), extended=True)
        if self.orthogonalize and direction.ndim >= 2:
            direction = orthogonalized(direction)
        return direction * jax.lax.rsqrt(jnp.mean(jnp.square(direction)) + LENGTH_EPSILON)


def orthogonalized(direction: jax.Array) -> jax.Array:
    """The nearly orthogonal matrix near `direction`, all but whose last axis count as one.

    The singular values that were not far below the largest lie between about 0.7 and 1.2.
    """
    matrix = direction.reshape(math.prod(direction.shape[:-1]), direction.shape[-1])
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (jnp.sqrt(jnp.sum(jnp.square(x))) + NORM_EPSILON)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return (x.T if tall else x).reshape(direction.shape)


def _adam(statistics: Statistics, step: jax.Array) -> jax.Array:
    """The step of Adam, from the shortest momentum and the second moment."""
    count = step.astype(jnp.float32) + 1.0
    (first, *_), (second,) = statistics.momentum, statistics.second_moment
    known = lambda decay: (1 - jnp.float32(decay) ** count).astype(first.dtype)
    mean = first / known(factored_features.MOMENTUM_DECAYS[0])
    return mean / (root(second / known(SECOND_MOMENT_DECAY)) + ADAM_EPSILON)
