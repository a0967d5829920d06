"""A network for every tensor that turns the knobs of an Adam-type update.

`nn_adam` of Metz et al. 2022, "Practical tradeoffs between memory, compute, and performance in
learned optimizers" (https://arxiv.org/abs/2203.11860), and relatives: from 16 statistics of its
tensor, the training loss and where the knobs are, a network of 32 units, an LSTM or an MLP, moves
the logarithms of rate a, 1 - b1, 1 - b2 and e by 0.01 times its outputs. The update is

    -a (1 + e) m / (e + (v + 1e-10)^1/2),

with momentum m of decay b1 and second moment v of decay b2: Adam for a small e, momentum for a
large one. Where the knobs start is learned too.
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
from metaopt.learned_optimizers.network import dense, hidden_layers, init_network
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

NUM_KNOBS = 4  # log rate, log (1 - b1), log (1 - b2), log e
FIRST_DECAYS = (0.9, 0.999)  # b1 and b2 that meta-training starts from
FIRST_EPSILON = 1e-8  # e that it starts from
KNOB_LIMIT = 10.0  # either way from where a knob starts
ROOT_EPSILON = 1e-10  # added to second moments under a root
LOSS_DECAY = 0.9  # of the moments of the loss
CONTROLLERS = ("lstm", "mlp")


class HyperControllerState(NamedTuple):
    """Trees of the structure of the parameters; what is known of tensors, and of the loss."""

    momentum: Any
    second_moment: Any
    moved: jax.Array  # [4, tensors] float32, knobs since the start
    lstm: LSTMState  # [hidden_size, tensors], or [0, tensors] for an MLP
    losses: LossMoments


@dataclasses.dataclass(frozen=True)
class HyperController(LearnedOptimizer):
    """7,112 meta-parameters with an LSTM, 840 with an MLP."""

    constants: ClassVar[Mapping[str, Any]] = {
        **tensor_features.CONSTANTS,
        "root_epsilon": ROOT_EPSILON,
        "knob_limit": KNOB_LIMIT,
        "loss_decay": LOSS_DECAY,
        "forget_bias": FORGET_BIAS,
    }
    uses: ClassVar[tuple[str, ...]] = ("value",)

    controller: Literal["lstm", "mlp"] = "lstm"
    hidden_size: int = 32
    learning_rate: float = 1e-4  # that meta-training starts from
    knob_multiplier: float = 0.01  # of what a knob moves in a step

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        statistics = {"statistics": tensor_features.NUM_STATISTICS}
        return {"tensor": {**statistics, "loss": 1, "knobs": NUM_KNOBS}}

    def init(self, key: Key) -> MetaParams:
        if self.controller not in CONTROLLERS:
            raise InputError(
                f"controller is {self.controller!r}; it must be one of {list(CONTROLLERS)}"
            )
        key_hidden, key_start, key_output = jax.random.split(key, 3)
        num_inputs = self.num_features("tensor")
        knobs = [self.learning_rate, *[1 - decay for decay in FIRST_DECAYS], FIRST_EPSILON]
        meta_params = {"knobs": jnp.asarray([math.log(x) for x in knobs], jnp.float32)}
        if self.controller == "mlp":
            sizes = (num_inputs, self.hidden_size, NUM_KNOBS)
            return meta_params | {"mlp": init_network(key_hidden, sizes)}
        return meta_params | {
            "lstm": init_lstm(key_hidden, num_inputs, self.hidden_size),
            "start": init_lstm_state(key_start, self.hidden_size),
            "output": init_network(key_output, (self.hidden_size, NUM_KNOBS))["layer0"],
        }

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        del num_steps
        no_memory = jnp.zeros(0, jnp.float32)
        start = meta_params.get("start", {"output": no_memory, "memory": no_memory})

        def init(params: Any) -> HyperControllerState:
            num_tensors = len(tensors(params))
            return HyperControllerState(
                zeros_like_params(params),
                zeros_like_params(params),
                jnp.zeros((NUM_KNOBS, num_tensors), jnp.float32),
                start_of(start, num_tensors),
                tensor_features.no_losses(),
            )

        def update(
            gradients: Any,
            state: HyperControllerState,
            params: Any,
            *,
            value: Any = None,
            **extra_args: Any,
        ):
            del extra_args
            losses = tensor_features.observe(state.losses, value, LOSS_DECAY)
            if not tensors(gradients):
                return gradients, state._replace(losses=losses)
            accumulators = (state.momentum, state.second_moment)
            look = lambda g, p, m, v: (g, m, v, tensor_statistics(g, p, [m], [v]))
            _, (*_, statistics) = map_tensors(look, gradients, params, accumulators)
            loss = tensor_features.relative_loss(value, losses, LOSS_DECAY)
            moved, cells = self._control(meta_params, state, statistics, loss)
            knobs = (meta_params["knobs"][:, None] + moved).T
            updates, (momentum, second_moment) = map_tensors(
                _adam, gradients, params, accumulators, [knobs]
            )
            return updates, HyperControllerState(momentum, second_moment, moved, cells, losses)

        return transformation(init, update)

    def _control(
        self,
        meta_params: MetaParams,
        state: HyperControllerState,
        statistics: jax.Array,
        loss: jax.Array,
    ) -> tuple[jax.Array, LSTMState]:
        """Where the knobs are after this step, since the start, and what is remembered."""
        of_all = jnp.broadcast_to(loss, (1, len(statistics)))
        inputs = jnp.concatenate([statistics.T, of_all, state.moved])
        if self.controller == "mlp":
            cells = state.lstm
            hidden, last = hidden_layers(meta_params["mlp"], inputs), meta_params["mlp"]["layer1"]
        else:
            cells = lstm(meta_params["lstm"], inputs, state.lstm)
            hidden, last = cells.output, meta_params["output"]
        moved = state.moved + self.knob_multiplier * dense(last, hidden)
        return jnp.clip(moved, -KNOB_LIMIT, KNOB_LIMIT), cells


def _adam(
    gradient: jax.Array,
    param: jax.Array,
    momentum: jax.Array,
    second_moment: jax.Array,
    knobs: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The update of a tensor and its next moments; `knobs` are [4]."""
    rate, *forgotten, epsilon = jnp.exp(knobs.astype(param.dtype))
    share, square_share = (jnp.minimum(x, 1.0) for x in forgotten)
    momentum = momentum + share * (gradient - momentum)
    second_moment = second_moment + square_share * (jnp.square(gradient) - second_moment)
    scale = rate * (1 + epsilon) / (epsilon + jnp.sqrt(second_moment + ROOT_EPSILON))
    return -scale * momentum, momentum, second_moment
