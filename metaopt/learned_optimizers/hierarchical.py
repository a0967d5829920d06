"""A recurrent network for every tensor that steers an MLP for every parameter.

Metz et al. 2020, "Tasks, stability, architecture, and compute: training more effective learned
optimizers, and using them to train themselves" (https://arxiv.org/abs/2009.11243), section 3.3; in
the variant "port" as `RNNMLPLOpt` of google/learned_optimization has it. In one step

1. gradients are clipped to a multiple of the root mean square that they had so far,
2. an LSTM of 64 units per tensor looks at 16 statistics of its tensor, the training and validation
   loss, 18 numbers that are the mean over all tensors of what the LSTMs sent in the last step, and
   16 that are the mean over the parameters of the tensor of what the MLP sent,
3. the MLP, two hidden layers of 32 units, looks at 23 features of a parameter, each divided by its
   root mean square over the tensor, at the time, at three sizes and at 17 numbers from the LSTM;
   direction d and magnitude m move the parameter by -0.001 d exp(0.001 m).

The features of a parameter, in the order of the rows of the first layer (five values are of decays
.5, .9, .99, .999, .9999; r = (v + 1e-6)^-1/2):

     0 gradient          3-7   momentum m        18-22 r
     1 parameter         8-12  m r               23-33 sin(t / (pi x)), 11 time scales x
     2 log |parameter|   13-17 second moment v   34-36 log tensors - 1, log norm, log size; 37- LSTM

The variant "paper" has one more, after r, that the port lacks: the parameter as it was at the last
step divisible by 100. And it learns what the port has constant, decay and multiple of the clipping.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers import tensor_features
from metaopt.learned_optimizers.base import (
    LearnedOptimizer,
    MetaParams,
    map_tensors,
    tensors,
    transformation,
    zeros_like_params,
)
from metaopt.learned_optimizers.features import (
    SCALE_EPSILON,
    TIME_SCALES,
    averages,
    offset_decays,
)
from metaopt.learned_optimizers.network import apply_to_features, dense, init_network
from metaopt.learned_optimizers.recurrent import (
    FORGET_BIAS,
    LSTMState,
    init_lstm,
    init_lstm_state,
    lstm,
    start_of,
)
from metaopt.learned_optimizers.tensor_features import LossMoments, tensor_statistics
from taskset.base import Key
from taskset.errors import InputError

DECAYS = (0.5, 0.9, 0.99, 0.999, 0.9999)  # of momenta and of second moments
TRAIN_DECAY, VALID_DECAY = 0.9, 0.95  # of the moments of losses
CLIP_DECAY, CLIP_MULTIPLE = 0.99, 10.0
CLIP_EPSILON = 1e-8  # added to the mean square of the gradients
ROOT_EPSILON = 1e-6  # added to second moments under a root
SNAPSHOT_EVERY = 100  # inner steps
NUM_MIXED = 18  # numbers that all tensors share
NUM_TO_MLP = 17
NUM_FROM_MLP = 16
VARIANTS = ("port", "paper")


class HierarchicalState(NamedTuple):
    """Accumulators, trees of the structure of the parameters, and what networks remember.

    The tensors that count are those that have elements.
    """

    step: jax.Array  # [] int32
    momentum: tuple[Any, ...]  # for each decay
    second_moment: tuple[Any, ...]  # for each decay
    snapshot: tuple[Any, ...]  # one tree in the variant "paper", else none
    clip_average: jax.Array  # [] float32, biased
    train_loss: LossMoments
    valid_loss: LossMoments
    lstm: LSTMState  # [hidden_size, tensors]
    mixed: jax.Array  # [18] float32
    from_mlp: jax.Array  # [tensors, 16] float32


class Clipping(NamedTuple):
    """How gradients are clipped, each [] float32."""

    decay: jax.Array
    multiple: jax.Array


@dataclasses.dataclass(frozen=True)
class Hierarchical(LearnedOptimizer):
    """35,799 meta-parameters, or 35,833 of the variant "paper".

    Besides `value`, the training loss, `update` takes `valid_value`: a validation loss, [], at any
    interval; the paper has one every 10 steps. A step without one passes none, or NaN. The port
    spends a call on it, which counts as a step; here it comes with a step. Meta-training gives one
    with every step: runs side by side could not do with fewer evaluations.
    """

    constants: ClassVar[Mapping[str, Any]] = {
        **tensor_features.CONSTANTS,
        "decays": DECAYS,
        "time_scales": TIME_SCALES,
        "loss_decays": (TRAIN_DECAY, VALID_DECAY),
        "clip": (CLIP_DECAY, CLIP_MULTIPLE, CLIP_EPSILON),
        "scale_epsilon": SCALE_EPSILON,
        "root_epsilon": ROOT_EPSILON,
        "snapshot_every": SNAPSHOT_EVERY,
        "forget_bias": FORGET_BIAS,
    }
    uses: ClassVar[tuple[str, ...]] = ("value", "valid_value")

    variant: Literal["port", "paper"] = "port"
    lstm_size: int = 64
    hidden_size: int = 32  # of the MLP
    step_multiplier: float = 1e-3  # of the direction
    exp_multiplier: float = 1e-3  # of the logarithm of the magnitude

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        of_parameter = {
            "gradient": 1,
            "parameter": 1,
            "log |parameter|": 1,
            "momenta": len(DECAYS),
            "momenta / roots of second moments": len(DECAYS),
            "second moments": len(DECAYS),
            "inverse roots of those": len(DECAYS),
            "parameter up to 100 steps ago": int(self._is_paper),
            "time": len(TIME_SCALES),
            "number of tensors, norm and size": 3,
            "LSTM": NUM_TO_MLP,
        }
        of_tensor = {
            "statistics": tensor_features.NUM_STATISTICS,
            "training and validation loss": 2,
            "all LSTMs": NUM_MIXED,
            "MLP": NUM_FROM_MLP,
        }
        return {"parameter": of_parameter, "tensor": of_tensor}

    def init(self, key: Key) -> MetaParams:
        if self.variant not in VARIANTS:
            raise InputError(f"variant is {self.variant!r}; it must be one of {list(VARIANTS)}")
        key_lstm, key_mlp, key_to_mlp, key_mixed, key_start = jax.random.split(key, 5)
        key_cell, key_start_mixed, key_start_mlp = jax.random.split(key_start, 3)
        hidden = (self.hidden_size, self.hidden_size)
        mlp_sizes = (self.num_features("parameter"), *hidden, 2 + NUM_FROM_MLP)
        normal = lambda key, size: 0.1 * jax.random.normal(key, (size,), jnp.float32)
        meta_params = {
            "lstm": init_lstm(key_lstm, self.num_features("tensor"), self.lstm_size),
            "mlp": init_network(key_mlp, mlp_sizes),
            "to_mlp": init_network(key_to_mlp, (self.lstm_size, NUM_TO_MLP))["layer0"],
            "to_mixed": init_network(key_mixed, (self.lstm_size, NUM_MIXED))["layer0"],
            "start": {
                "lstm": init_lstm_state(key_cell, self.lstm_size),
                "mixed": normal(key_start_mixed, NUM_MIXED),
                "from_mlp": normal(key_start_mlp, NUM_FROM_MLP),
            },
        }
        if self._is_paper:
            multiple = jnp.float32(math.log(CLIP_MULTIPLE))
            meta_params["clip"] = {"decay": jnp.float32(0.0), "log_multiple": multiple}
        return meta_params

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        del num_steps
        clipping = self._clipping(meta_params)

        def init(params: Any) -> HierarchicalState:
            accumulators = lambda: tuple(zeros_like_params(params) for _ in DECAYS)
            num_tensors, start = len(tensors(params)), meta_params["start"]
            return HierarchicalState(
                step=jnp.zeros((), jnp.int32),
                momentum=accumulators(),
                second_moment=accumulators(),
                snapshot=(zeros_like_params(params),) if self._is_paper else (),
                clip_average=1 - clipping.decay,  # without bias, 1
                train_loss=tensor_features.no_losses(),
                valid_loss=tensor_features.no_losses(),
                lstm=start_of(start["lstm"], num_tensors),
                mixed=jnp.asarray(start["mixed"]),
                from_mlp=jnp.broadcast_to(start["from_mlp"], (num_tensors, NUM_FROM_MLP)),
            )

        def update(
            gradients: Any,
            state: HierarchicalState,
            params: Any,
            *,
            value: Any = None,
            valid_value: Any = None,
            **extra_args: Any,
        ):
            del extra_args
            state = state._replace(
                train_loss=tensor_features.observe(state.train_loss, value, TRAIN_DECAY),
                valid_loss=tensor_features.observe(state.valid_loss, valid_value, VALID_DECAY),
            )
            step = jnp.asarray(optax.safe_increment(state.step))
            if not tensors(gradients):
                return gradients, state._replace(step=step)
            bound = _bound(state, clipping)
            state, statistics = _accumulate(gradients, state, params, bound, clipping)
            state, controls = _control(meta_params, state, statistics, value)
            updates, state = self._move(meta_params, gradients, state, params, bound, controls)
            return updates, state._replace(step=step)

        return transformation(init, update)

    @property
    def _is_paper(self) -> bool:
        return self.variant == "paper"

    def _clipping(self, meta_params: MetaParams) -> Clipping:
        if not self._is_paper:
            return Clipping(jnp.float32(CLIP_DECAY), jnp.float32(CLIP_MULTIPLE))
        learned = meta_params["clip"]
        decay = jnp.clip(offset_decays((CLIP_DECAY,), learned["decay"][None])[0], 0.0, 1 - 1e-6)
        return Clipping(decay, jnp.exp(learned["log_multiple"]))

    def _move(
        self,
        meta_params: MetaParams,
        gradients: Any,
        state: HierarchicalState,
        params: Any,
        bound: jax.Array,
        controls: jax.Array,
    ) -> tuple[Any, HierarchicalState]:
        """The updates, and the state with what the MLP sends back."""
        scales = math.pi * jnp.asarray(TIME_SCALES, jnp.float32)
        sines = jnp.sin(state.step.astype(jnp.float32) / scales)
        log_tensors = jnp.float32(math.log(len(controls)) - 1)

        def tensor(gradient: jax.Array, param: jax.Array, *old: Any):
            *accumulators, control = old
            snapshot = accumulators[2 * len(DECAYS) :]
            log_norm = jnp.log(tensor_features.norm(param) + tensor_features.LOG_EPSILON)
            sizes = jnp.stack(
                [log_tensors, log_norm.astype(jnp.float32), jnp.float32(math.log(param.size))]
            )
            features = _features(_clipped(gradient, bound), param, accumulators)
            features += [jnp.where(state.step == 0, param, x) for x in snapshot]
            shared = jnp.concatenate([sines, sizes, control])
            (direction, magnitude), sent = apply_to_features(meta_params["mlp"], features, shared)
            step = self.step_multiplier * direction * jnp.exp(self.exp_multiplier * magnitude)
            kept = [jnp.where(state.step % SNAPSHOT_EVERY == 0, param, x) for x in snapshot]
            return -step, *accumulators[: 2 * len(DECAYS)], *kept, sent.astype(jnp.float32)

        accumulators = (*state.momentum, *state.second_moment, *state.snapshot)
        updates, new = map_tensors(tensor, gradients, params, accumulators, [controls])
        snapshot = tuple(new[2 * len(DECAYS) : -1])
        return updates, state._replace(snapshot=snapshot, from_mlp=new[-1])


def _bound(state: HierarchicalState, clipping: Clipping) -> jax.Array:
    """What gradients are clipped to, [] float32."""
    known = 1 - clipping.decay ** (state.step.astype(jnp.float32) + 1.0)
    return clipping.multiple * state.clip_average / known


def _clipped(gradient: jax.Array, bound: jax.Array) -> jax.Array:
    bound = bound.astype(gradient.dtype)
    return jnp.clip(gradient, -bound, bound)


def _accumulate(
    gradients: Any, state: HierarchicalState, params: Any, bound: jax.Array, clipping: Clipping
) -> tuple[HierarchicalState, jax.Array]:
    """The state after these gradients, and statistics of the tensors, [tensors, 16]."""

    def tensor(gradient: jax.Array, param: jax.Array, *old: jax.Array):
        gradient = _clipped(gradient, bound)
        square = jnp.square(gradient)
        momentum = averages(DECAYS, old[: len(DECAYS)], gradient)
        second_moment = averages(DECAYS, old[len(DECAYS) :], square)
        statistics = tensor_statistics(gradient, param, momentum, second_moment)
        mean_square = jnp.mean(square).astype(jnp.float32)
        return gradient, *momentum, *second_moment, statistics, mean_square

    old = (*state.momentum, *state.second_moment)
    _, (*new, statistics, mean_squares) = map_tensors(tensor, gradients, params, old)
    root = jnp.sqrt(CLIP_EPSILON + jnp.mean(mean_squares))
    average = clipping.decay * state.clip_average + (1 - clipping.decay) * root
    state = state._replace(
        momentum=tuple(new[: len(DECAYS)]),
        second_moment=tuple(new[len(DECAYS) :]),
        clip_average=average,
    )
    return state, statistics


def _control(
    meta_params: MetaParams, state: HierarchicalState, statistics: jax.Array, loss: Any
) -> tuple[HierarchicalState, jax.Array]:
    """The state after a step of the LSTMs, and what they send to the MLPs, [tensors, 17]."""
    num_tensors = len(statistics)
    relative = lambda x: tensor_features.relative_loss(x, state.train_loss, TRAIN_DECAY)
    valid = relative(tensor_features.mean_loss(state.valid_loss, VALID_DECAY))
    losses = jnp.stack([relative(loss), jnp.where(state.valid_loss.num_seen > 0, valid, 0.0)])
    of_all = jnp.broadcast_to(
        jnp.concatenate([losses, state.mixed]), (num_tensors, len(losses) + NUM_MIXED)
    )
    inputs = jnp.concatenate([statistics, of_all, state.from_mlp], axis=1)
    new = lstm(meta_params["lstm"], inputs.T, state.lstm)
    mixed = jnp.mean(dense(meta_params["to_mixed"], new.output), axis=1)
    controls = dense(meta_params["to_mlp"], new.output).T
    return state._replace(lstm=new, mixed=mixed), controls


def _features(
    gradient: jax.Array, param: jax.Array, accumulators: list[jax.Array]
) -> list[jax.Array]:
    """The features of a tensor, each of its shape, by row of the first layer."""
    momentum = accumulators[: len(DECAYS)]
    second_moment = accumulators[len(DECAYS) : 2 * len(DECAYS)]
    inverse_roots = [jax.lax.rsqrt(v + ROOT_EPSILON) for v in second_moment]
    scaled = [m * r for m, r in zip(momentum, inverse_roots, strict=True)]
    log_param = jnp.log(jnp.abs(param) + tensor_features.LOG_EPSILON)
    return [gradient, param, log_param, *momentum, *scaled, *second_moment, *inverse_roots]
