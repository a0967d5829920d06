"""A recurrent network for every tensor that mixes an MLP of its own for it from a bank.

VeLO, Metz et al. 2022, "VeLO: training versatile learned optimizers by scaling up"
(https://arxiv.org/abs/2211.09760). An LSTM of 512 units per tensor looks at how far training is,
how the loss goes and what its tensor is like, after tensors have told each other by a maximum. It
gives a rate a and 256 numbers c_k; the weights of the MLP of the tensor are 100 times the mean of
c_k * (MLP k of the bank). That MLP, two hidden layers of 4 units, looks at the 30 features of
`factored_features`; its direction d and magnitude m move a parameter by

    -0.001 a (root mean square of the parameters of the tensor) d exp(0.001 m).

It needs to know how long training will be. With `released` it has what weights of the released code
count on: what tensors tell each other goes through one layer, not two; the variance of the second
moment is taken about the mean of each momentum; and the LSTM sees the moments before the gradient.
Weights older than the paper's have two more mistakes: all averages of the loss are as short as the
shortest, `equal_averages`; and what LSTMs remember does not go on, `forgets`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metaopt.learned_optimizers import factored_features, schedule_features
from metaopt.learned_optimizers.base import (
    LearnedOptimizer,
    MetaParams,
    map_tensors,
    tensors,
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
from metaopt.learned_optimizers.network import dense, init_network, product
from metaopt.learned_optimizers.recurrent import (
    FORGET_BIAS,
    LSTMState,
    init_lstm,
    init_lstm_state,
    lstm,
    start_of,
)
from metaopt.learned_optimizers.schedule_features import LossTrend
from metaopt.learned_optimizers.tensor_features import LOG_EPSILON, LOG_LIMIT, log_size
from taskset.base import Key

MIX_MULTIPLE = 100.0  # of the mean of the bank
GRADIENT_LIMIT = 1000.0
SIZE_EPSILON = 1e-9  # under the root of the size of a tensor
STATISTIC_MULTIPLE = 10.0  # under logarithms of statistics
MAX_RANK = 4  # of axes longer than 1 that a tensor is told apart by
NUM_OUTPUTS = 3  # direction, magnitude and one that nothing uses, for the weights to be found


class VeLOState(NamedTuple):
    """Accumulators, trees of the structure of the parameters, and what networks remember."""

    step: jax.Array  # [] int32
    statistics: Statistics
    losses: LossTrend
    lstm: LSTMState  # [lstm_size, tensors]


@dataclasses.dataclass(frozen=True)
class VeLO(LearnedOptimizer):
    """2,565,121 meta-parameters, or 2,320,385 as released."""

    constants: ClassVar[Mapping[str, Any]] = {
        **factored_features.EXTENDED_CONSTANTS,
        **schedule_features.CONSTANTS,
        "mix_multiple": MIX_MULTIPLE,
        "gradient_limit": GRADIENT_LIMIT,
        "size_epsilon": SIZE_EPSILON,
        "log": (LOG_LIMIT, LOG_EPSILON, STATISTIC_MULTIPLE),
        "forget_bias": FORGET_BIAS,
    }
    uses: ClassVar[tuple[str, ...]] = ("value", "num_steps")

    lstm_size: int = 512
    bank_size: int = 256
    hidden_size: int = 4  # of the MLPs
    released: bool = False  # whether with the mistakes of the released code
    equal_averages: bool = False  # whether with that of its older weights
    forgets: bool = False  # likewise
    default_num_steps: int = 10_000  # where the length of training is not announced
    step_multiplier: float = 1e-3  # of the direction
    exp_multiplier: float = 1e-3  # of the logarithm of the magnitude

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        of_tensor = {
            **schedule_features.FEATURES,
            "mean second moment": 1,
            "variances of momenta": len(factored_features.MOMENTUM_DECAYS),
            "variance of the second moment": 3 if self.released else 1,
            "number of axes": MAX_RANK + 1,
        }
        return {"parameter": factored_features.EXTENDED_FEATURES, "tensor": of_tensor}

    def init(self, key: Key) -> MetaParams:
        key_mix, key_lstm, key_start, key_heads, key_bank = jax.random.split(key, 5)
        num_inputs = self.num_features("tensor")
        layer = lambda key, *sizes: init_network(key, sizes)["layer0"]
        keys = jax.random.split(key_mix, 3)
        between = num_inputs if self.released else self.lstm_size
        key_mixture, key_rate = jax.random.split(key_heads)
        hidden = (self.hidden_size, self.hidden_size)
        mlp_sizes = (self.num_features("parameter"), *hidden, NUM_OUTPUTS)
        bank_keys = jax.random.split(key_bank, self.bank_size)
        return {
            "straight": layer(keys[0], num_inputs, self.lstm_size),
            "tell_first": layer(keys[1], num_inputs, self.lstm_size),
            "tell_second": layer(keys[2], between, self.lstm_size),
            "lstm": init_lstm(key_lstm, self.lstm_size, self.lstm_size),
            "start": init_lstm_state(key_start, self.lstm_size),
            "mixture": layer(key_mixture, self.lstm_size, self.bank_size),
            "rate": layer(key_rate, self.lstm_size, 1),
            "bank": jax.vmap(lambda key: init_network(key, mlp_sizes))(bank_keys),
        }

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        num_steps = self.default_num_steps if num_steps is None else num_steps
        longest = schedule_features.SHORTEST if self.equal_averages else num_steps

        def init(params: Any) -> VeLOState:
            return VeLOState(
                jnp.zeros((), jnp.int32),
                zero_statistics(params),
                schedule_features.no_losses(),
                start_of(meta_params["start"], len(tensors(params))),
            )

        def update(
            gradients: Any,
            state: VeLOState,
            params: Any,
            *,
            value: Any = None,
            **extra_args: Any,
        ):
            del extra_args
            losses = schedule_features.observe(state.losses, value, longest)
            step = jnp.asarray(optax.safe_increment(state.step))
            if not tensors(gradients):
                return gradients, state._replace(step=step, losses=losses)
            schedule = schedule_features.schedule_features(state.step, losses, num_steps, longest)
            statistics, looks = self._accumulate(gradients, state.statistics, params)
            schedules = jnp.broadcast_to(schedule, (len(looks), len(schedule)))
            inputs = jnp.concatenate([schedules, looks], axis=1).T
            cells = lstm(meta_params["lstm"], self._told(meta_params, inputs), state.lstm)
            updates = self._move(meta_params, gradients, params, statistics, cells.output)
            kept = state.lstm if self.forgets else cells
            return updates, VeLOState(step, statistics, losses, kept)

        return transformation(init, update)

    def _accumulate(
        self, gradients: Any, old: Statistics, params: Any
    ) -> tuple[Statistics, jax.Array]:
        """The statistics after these gradients, and what tensors are like, [tensors, 10 or 12]."""

        def tensor(gradient: jax.Array, param: jax.Array, *accumulators: Any):
            gradient = clipped(gradient)
            before = grouped(accumulators)
            statistics = accumulate(gradient, before, Decays.fixed())
            look = self._look_of(param, before if self.released else statistics)
            return gradient, *statistics.flat(), look

        _, (*flat, looks) = map_tensors(tensor, gradients, params, old.flat())
        return grouped(flat), looks

    def _look_of(self, param: jax.Array, statistics: Statistics) -> jax.Array:
        """What a tensor is like, relative to its size: [10] float32, or [12] as released."""
        size = root_mean_square(param)
        momentum = [m / size for m in statistics.momentum]
        (second_moment,) = (v / size for v in statistics.second_moment)
        about = lambda x, center: jnp.mean(jnp.square(x - center))
        centers = momentum if self.released else [second_moment]
        moments = [
            jnp.mean(second_moment),
            *[about(m, jnp.mean(m)) for m in momentum],
            *[about(second_moment, jnp.mean(center)) for center in centers],
        ]
        logs = log_size(STATISTIC_MULTIPLE * jnp.stack(moments)).astype(jnp.float32) / 2
        rank = min(sum(length > 1 for length in param.shape), MAX_RANK)
        return jnp.concatenate([logs, jax.nn.one_hot(rank, MAX_RANK + 1, dtype=jnp.float32)])

    def _told(self, meta_params: MetaParams, inputs: jax.Array) -> jax.Array:
        """What enters the LSTMs, [lstm_size, tensors]: inputs, and what the others say."""
        said = inputs
        if not self.released:
            said = jax.nn.relu(dense(meta_params["tell_first"], inputs))
        said = jax.nn.relu(dense(meta_params["tell_second"], said))
        straight = dense(meta_params["straight"], inputs)
        return straight + jnp.max(said, axis=1, keepdims=True)

    def _move(
        self,
        meta_params: MetaParams,
        gradients: Any,
        params: Any,
        statistics: Statistics,
        outputs: jax.Array,
    ) -> Any:
        mixture = dense(meta_params["mixture"], outputs) * (MIX_MULTIPLE / self.bank_size)
        rates = dense(meta_params["rate"], outputs)[0]
        mix = lambda bank: product(bank.reshape(len(bank), -1), mixture).T.reshape(
            mixture.shape[1], *bank.shape[1:]
        )
        mixed, structure = jax.tree.flatten(jax.tree.map(mix, meta_params["bank"]))

        def tensor(gradient: jax.Array, param: jax.Array, *rest: Any):
            accumulators, weights, rate = (
                rest[: -len(mixed) - 1],
                rest[-len(mixed) - 1 : -1],
                rest[-1],
            )
            inputs = Inputs(clipped(gradient), param, grouped(accumulators))
            scale = self.step_multiplier * rate.astype(param.dtype)
            network = structure.unflatten(weights)
            return (-scale * sized_step(network, inputs, self.exp_multiplier), *accumulators)

        updates, _ = map_tensors(tensor, gradients, params, statistics.flat(), [*mixed, rates])
        return updates


def clipped(gradient: jax.Array) -> jax.Array:
    """Gradients that are not absurd."""
    return jnp.clip(gradient, -GRADIENT_LIMIT, GRADIENT_LIMIT)


def root_mean_square(param: jax.Array) -> jax.Array:
    """The size of the parameters of a tensor, []."""
    return jnp.sqrt(jnp.mean(jnp.square(param)) + SIZE_EPSILON)


def sized_step(network: Any, inputs: Inputs, exp_multiplier: float) -> jax.Array:
    """Direction times exp(magnitude), in units of the size of the parameters of the tensor."""
    param = inputs.param
    network = jax.tree.map(lambda x: x.astype(param.dtype), network)
    direction, magnitude, *_ = apply_to_statistics(
        network, inputs, jnp.zeros(0, param.dtype), extended=True
    )
    return root_mean_square(param) * direction * jnp.exp(exp_multiplier * magnitude)
