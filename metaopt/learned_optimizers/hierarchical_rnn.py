"""Recurrent networks on three levels: of every parameter, of every tensor, of all together.

Wichrowska et al. 2017, "Learned optimizers that scale and generalize"
(https://arxiv.org/abs/1703.04813). A gated recurrent unit of 10 numbers per parameter looks at the
gradient on 4 time scales; one of 20 per tensor, at the mean of those of its parameters; one of 20,
at the mean of those of the tensors. What a level knows goes down as a bias of the cells below.

A gradient enters by averages of decays b, b^1/2, b^1/4, b^1/8 and mean squares of decays c, ...,
c^1/8, with b and c of every parameter from its cell. With s_k the average over the root of the mean
square:

    0-3  s_k    4-6  s_k s_{k+1}    7-10  log mean square_k, less its mean over k
    11   log learning rate, less its mean over all parameters

The cell gives a direction, divided by its root mean square over the tensor, to which comes an
affine function of the s_k; and an increment of the logarithm of the learning rate, of which the
moving average is remembered. The parameter moves by -exp(log rate + offset - 1) direction.
"""

import dataclasses
import math
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
    tensors,
    transformation,
)
from metaopt.learned_optimizers.features import SCALE_EPSILON, inverse_rms
from metaopt.learned_optimizers.network import dense, init_network
from metaopt.learned_optimizers.recurrent import gru, init_gru
from taskset.base import Key

NUM_SCALES = 4
NUM_OUTPUTS = 4  # direction, increment of the log rate, logits of the decays b and c
DECAY_LOGITS = (2.2, 3.2)  # of b and of c, at the start of meta-training
RATE_DECAY_LOGIT = 3.2  # of the moving average of the log rate
LOG_RATE_LIMIT = 33.0
SQUARE_EPSILON = 1e-16  # added to mean squares under a root or a logarithm


class HierarchicalRNNState(NamedTuple):
    """Trees of the structure of the parameters, leaves [numbers, *shape]; states of networks."""

    param: Any  # 10 numbers
    average: Any  # of the gradient, 4 scales
    mean_square: Any
    log_rate: Any  # 1 number, averaged
    tensor: jax.Array  # [tensor_size, tensors] float32
    all: jax.Array  # [all_size, 1] float32


@dataclasses.dataclass(frozen=True)
class HierarchicalRNN(LearnedOptimizer):
    """6,861 meta-parameters; 19 numbers of state for each parameter.

    Meta-training in the paper draws the first learning rate log-uniformly from 1e-6 to 1e-2; here
    it is the middle of that range, for optax optimizers have no key.
    """

    constants: ClassVar[Mapping[str, Any]] = {
        "num_scales": NUM_SCALES,
        "log_rate_limit": LOG_RATE_LIMIT,
        "scale_epsilon": SCALE_EPSILON,
        "square_epsilon": SQUARE_EPSILON,
    }

    param_size: int = 10
    tensor_size: int = 20
    all_size: int = 20
    initial_learning_rate: float = 1e-4

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        of_parameter = {
            "averages / roots of mean squares": NUM_SCALES,
            "products of neighbours of those": NUM_SCALES - 1,
            "relative log mean squares": NUM_SCALES,
            "relative log learning rate": 1,
        }
        return {
            "parameter": of_parameter,
            "tensor": {"mean of the cells of its parameters": self.param_size},
            "run": {"mean of the cells of tensors": self.tensor_size},
        }

    def init(self, key: Key) -> MetaParams:
        keys = jax.random.split(key, 6)
        link = lambda key, above, below: init_network(key, (above, 3 * below))["layer0"]["weight"]
        outputs = init_network(keys[5], (self.param_size, NUM_OUTPUTS))["layer0"]
        return {
            "param": init_gru(keys[0], self.num_features("parameter"), self.param_size),
            "tensor": init_gru(keys[1], self.num_features("tensor"), self.tensor_size),
            "all": init_gru(keys[2], self.num_features("run"), self.all_size),
            "tensor_to_param": link(keys[3], self.tensor_size, self.param_size),
            "all_to_tensor": link(keys[4], self.all_size, self.tensor_size),
            "outputs": outputs | {"bias": jnp.asarray([0.0, 0.0, *DECAY_LOGITS], jnp.float32)},
            "shortcut": {
                "weight": jnp.full(NUM_SCALES, 1 / NUM_SCALES, jnp.float32),
                "bias": jnp.float32(0.0),
            },
            "rate_decay_logit": jnp.float32(RATE_DECAY_LOGIT),
            "rate_offset": jnp.float32(0.0),
        }

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        del num_steps
        log_rate = math.log(self.initial_learning_rate)

        def init(params: Any) -> HierarchicalRNNState:
            full = lambda value, *sizes: jax.tree.map(
                lambda p: jnp.full((*sizes, *p.shape), value, accumulator_dtype(p)), params
            )
            return HierarchicalRNNState(
                param=full(0.0, self.param_size),
                average=full(0.0, NUM_SCALES),
                mean_square=full(0.0, NUM_SCALES),
                log_rate=full(log_rate),
                tensor=jnp.zeros((self.tensor_size, len(tensors(params))), jnp.float32),
                all=jnp.zeros((self.all_size, 1), jnp.float32),
            )

        def update(gradients: Any, state: HierarchicalRNNState, params: Any, **extra_args: Any):
            del extra_args
            if not tensors(gradients):
                return gradients, state
            mean_log_rate = _mean_of_all(state.log_rate)

            def tensor(gradient: jax.Array, param: jax.Array, *old: jax.Array):
                weights = jax.tree.map(lambda x: x.astype(param.dtype), meta_params)
                output, average, square, log_rate = (x.reshape(-1, param.size) for x in old[:4])
                bias = old[4].astype(param.dtype)[:, None]
                cells = _Parameters(output, average, square, log_rate[0])
                move, cells = _step(weights, gradient.reshape(-1), cells, bias, mean_log_rate)
                new = (x.reshape(y.shape) for x, y in zip(cells, old[:4], strict=True))
                mean = jnp.mean(cells.output, axis=1).astype(jnp.float32)
                return -move.reshape(param.shape), *new, mean

            biases = (meta_params["tensor_to_param"].T @ state.tensor).T
            updates, (*new, means) = map_tensors(tensor, gradients, params, state[:4], [biases])
            bias = meta_params["all_to_tensor"].T @ state.all
            of_tensors = gru(meta_params["tensor"], means.T, state.tensor, bias)
            mean = jnp.mean(of_tensors, axis=1, keepdims=True)
            no_bias = jnp.zeros((3 * self.all_size, 1), jnp.float32)
            of_all = gru(meta_params["all"], mean, state.all, no_bias)
            param, average, square, log_rate = new
            return updates, HierarchicalRNNState(
                param, average, square, log_rate, of_tensors, of_all
            )

        return transformation(init, update)


class _Parameters(NamedTuple):
    """What is remembered of the n parameters of a tensor."""

    output: jax.Array  # [units, n]
    average: jax.Array  # [scales, n]
    mean_square: jax.Array  # [scales, n]
    log_rate: jax.Array  # [n]


def _step(
    weights: MetaParams,
    gradient: jax.Array,
    cells: _Parameters,
    bias: jax.Array,
    mean_log_rate: jax.Array,
) -> tuple[jax.Array, _Parameters]:
    """How far the parameters go down, [n], and what is then remembered of them."""
    *_, gradient_logit, square_logit = dense(weights["outputs"], cells.output)
    average = _averaged(cells.average, gradient, jax.nn.sigmoid(gradient_logit))
    square = _averaged(cells.mean_square, jnp.square(gradient), jax.nn.sigmoid(square_logit))
    scaled = average * jax.lax.rsqrt(square + SQUARE_EPSILON)
    log_square = jnp.log(square + SQUARE_EPSILON)
    inputs = [
        scaled,
        scaled[:-1] * scaled[1:],
        log_square - jnp.mean(log_square, axis=0, keepdims=True),
        (cells.log_rate - mean_log_rate.astype(gradient.dtype))[None],
    ]
    output = gru(weights["param"], jnp.concatenate(inputs), cells.output, bias)

    direction, increment, *_ = dense(weights["outputs"], output)
    shortcut = weights["shortcut"]
    straight = shortcut["weight"] @ scaled + shortcut["bias"]
    direction = direction * inverse_rms(direction) + straight
    log_rate = jnp.clip(cells.log_rate + increment, -LOG_RATE_LIMIT, LOG_RATE_LIMIT)
    decay = jax.nn.sigmoid(weights["rate_decay_logit"])
    remembered = decay * cells.log_rate + (1 - decay) * log_rate
    move = jnp.exp(log_rate + weights["rate_offset"] - 1.0) * direction
    return move, _Parameters(output, average, square, remembered)


def _averaged(kept: jax.Array, new: jax.Array, decay: jax.Array) -> jax.Array:
    """Averages on all scales, [scales, n], after `new`, [n]; `decay`, [n], is that of the first."""
    decays = [decay]
    for _ in range(NUM_SCALES - 1):
        decays.append(jnp.sqrt(decays[-1]))
    of_scales = jnp.stack(decays)
    return of_scales * kept + (1 - of_scales) * new[None]


def _mean_of_all(tree: Any) -> jax.Array:
    """The mean over all parameters, [] float32."""
    arrays = tensors(tree)
    total = sum(jnp.sum(x).astype(jnp.float32) for x in arrays)
    return total / jnp.float32(sum(x.size for x in arrays))
