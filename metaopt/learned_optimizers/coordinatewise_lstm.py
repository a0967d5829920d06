"""A recurrent network for every parameter: the first learned optimizer of deep learning.

Andrychowicz et al. 2016, "Learning to learn by gradient descent by gradient descent"
(https://arxiv.org/abs/1606.04474): two LSTM layers of 20 units and a linear output, with weights
that all parameters share and a state for each, move a parameter by 0.01 times the output. What
enters is the gradient alone, as two numbers (k = 5; section 2.1 and appendix A of the paper)

    max(log(|g| + eps) / k, -1)    and    g e^k, clipped to +-1,

the size of a large gradient and the value of a small one; or, without `preprocess`, the gradient.
The paper trains it with `TruncatedBackprop`, truncation 20, horizon 100.
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
    accumulator_dtype,
    map_tensors,
    transformation,
)
from metaopt.learned_optimizers.network import dense, init_network, stack_features
from metaopt.learned_optimizers.recurrent import FORGET_BIAS, LSTMState, init_lstm, lstm
from taskset.base import Key

LOG_SCALE = 5.0  # k of the preprocessing
LOG_EPSILON = 2.0**-23  # added to the size of a gradient under the logarithm


class CoordinatewiseLSTMState(NamedTuple):
    """Trees of the structure of the parameters, leaves [hidden_size, *shape of the tensor]."""

    first: LSTMState
    second: LSTMState


@dataclasses.dataclass(frozen=True)
class CoordinatewiseLSTM(LearnedOptimizer):
    """5,141 meta-parameters; 80 numbers of state for each parameter."""

    constants: ClassVar[Mapping[str, Any]] = {
        "log_scale": LOG_SCALE,
        "log_epsilon": LOG_EPSILON,
        "forget_bias": FORGET_BIAS,
    }

    hidden_size: int = 20
    preprocess: bool = True
    step_multiplier: float = 0.01

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        return {"parameter": {"log |gradient|": int(self.preprocess), "gradient": 1}}

    def init(self, key: Key) -> MetaParams:
        key_first, key_second, key_output = jax.random.split(key, 3)
        return {
            "first": init_lstm(key_first, self.num_features("parameter"), self.hidden_size),
            "second": init_lstm(key_second, self.hidden_size, self.hidden_size),
            "output": init_network(key_output, (self.hidden_size, 1))["layer0"],
        }

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        del num_steps

        def init(params: Any) -> CoordinatewiseLSTMState:
            shape = lambda p: (self.hidden_size, *p.shape)
            zeros = lambda: jax.tree.map(
                lambda p: jnp.zeros(shape(p), accumulator_dtype(p)), params
            )
            return CoordinatewiseLSTMState(*(LSTMState(zeros(), zeros()) for _ in range(2)))

        def update(gradients: Any, state: CoordinatewiseLSTMState, params: Any, **extra_args: Any):
            del extra_args

            def tensor(gradient: jax.Array, param: jax.Array, *old: jax.Array):
                weights = jax.tree.map(lambda x: x.astype(param.dtype), meta_params)
                flat = [x.reshape(self.hidden_size, -1) for x in old]
                first = lstm(weights["first"], self._inputs(gradient), LSTMState(*flat[:2]))
                second = lstm(weights["second"], first.output, LSTMState(*flat[2:]))
                step = self.step_multiplier * dense(weights["output"], second.output)
                new = (x.reshape(old[0].shape) for x in (*first, *second))
                return step.reshape(param.shape), *new

            updates, new = map_tensors(tensor, gradients, params, [*state.first, *state.second])
            return updates, CoordinatewiseLSTMState(LSTMState(*new[:2]), LSTMState(*new[2:]))

        return transformation(init, update)

    def _inputs(self, gradient: jax.Array) -> jax.Array:
        """[inputs, parameters]."""
        flat = gradient.reshape(-1)
        if not self.preprocess:
            return flat[None]
        # Nothing flows back through gradients, as in the paper, which has no second derivatives.
        flat = jax.lax.stop_gradient(flat)
        size = jnp.log(jnp.abs(flat) + LOG_EPSILON) / LOG_SCALE
        value = jnp.clip(flat * jnp.exp(LOG_SCALE).astype(flat.dtype), -1.0, 1.0)
        return stack_features([jnp.maximum(size, -1.0), value])
