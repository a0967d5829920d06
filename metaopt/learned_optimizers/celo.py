"""One MLP for all parameters, and one recurrent network that schedules it.

Celo, Moudgil et al. 2025, "Celo: training versatile learned optimizers on a compute diet"
(https://arxiv.org/abs/2501.12670): the MLP of VeLO, but one for all tensors; an LSTM of 64 units
looks at how far training is and how the loss goes, and its output o multiplies every step:

    -0.001 * 0.1 exp(o) (root mean square of the parameters of the tensor) d exp(0.001 m).

The paper trains the MLP first, without schedule (o = 0), and then the schedule alone. In its
released code two layers are before the LSTM, of which one is rectified: with `released` here too.
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
    transformation,
)
from metaopt.learned_optimizers.factored_features import (
    Decays,
    Inputs,
    Statistics,
    accumulate,
    grouped,
    zero_statistics,
)
from metaopt.learned_optimizers.network import dense, init_network
from metaopt.learned_optimizers.recurrent import (
    FORGET_BIAS,
    LSTMState,
    init_lstm,
    init_lstm_state,
    lstm,
    start_of,
)
from metaopt.learned_optimizers.schedule_features import LossTrend
from metaopt.learned_optimizers.velo import (
    GRADIENT_LIMIT,
    NUM_OUTPUTS,
    SIZE_EPSILON,
    clipped,
    sized_step,
)
from taskset.base import Key

SCHEDULE_MULTIPLE = 0.1


class CeloState(NamedTuple):
    """Accumulators, trees of the structure of the parameters, and what the schedule remembers."""

    step: jax.Array  # [] int32
    statistics: Statistics
    losses: LossTrend
    lstm: LSTMState  # [lstm_size, 1]


@dataclasses.dataclass(frozen=True)
class Celo(LearnedOptimizer):
    """21,600 meta-parameters, or 35,808 as released, 159 of them in the MLP."""

    constants: ClassVar[Mapping[str, Any]] = {
        **factored_features.EXTENDED_CONSTANTS,
        **schedule_features.CONSTANTS,
        "gradient_limit": GRADIENT_LIMIT,
        "size_epsilon": SIZE_EPSILON,
        "schedule_multiple": SCHEDULE_MULTIPLE,
        "forget_bias": FORGET_BIAS,
    }
    uses: ClassVar[tuple[str, ...]] = ("value", "num_steps")

    lstm_size: int = 64
    hidden_size: int = 4  # of the MLP
    scheduled: bool = True  # false in the first phase of meta-training
    released: bool = False  # whether with the layers of the released code
    default_num_steps: int = 2000  # where the length of training is not announced
    step_multiplier: float = 1e-3  # of the direction
    exp_multiplier: float = 1e-3  # of the logarithm of the magnitude

    @property
    def features(self) -> Mapping[str, Mapping[str, int]]:
        return {
            "parameter": factored_features.EXTENDED_FEATURES,
            "run": schedule_features.FEATURES,
        }

    def init(self, key: Key) -> MetaParams:
        key_mlp, key_lstm, key_start, key_output = jax.random.split(key, 4)
        key_layers = jax.random.fold_in(key, 4)
        hidden = (self.hidden_size, self.hidden_size)
        num_seen, released = self.num_features("run"), {}
        if self.released:
            layers = zip(("straight", "rectified"), jax.random.split(key_layers), strict=True)
            sizes = (num_seen, self.lstm_size)
            released = {name: init_network(key, sizes)["layer0"] for name, key in layers}
        num_inputs = self.lstm_size if self.released else num_seen
        return {
            "mlp": init_network(key_mlp, (self.num_features("parameter"), *hidden, NUM_OUTPUTS)),
            "schedule": {
                "lstm": init_lstm(key_lstm, num_inputs, self.lstm_size),
                "start": init_lstm_state(key_start, self.lstm_size),
                "output": init_network(key_output, (self.lstm_size, 1))["layer0"],
                **released,
            },
        }

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        num_steps = self.default_num_steps if num_steps is None else num_steps
        schedule = meta_params["schedule"]

        def init(params: Any) -> CeloState:
            return CeloState(
                jnp.zeros((), jnp.int32),
                zero_statistics(params),
                schedule_features.no_losses(),
                start_of(schedule["start"], 1),
            )

        def update(
            gradients: Any,
            state: CeloState,
            params: Any,
            *,
            value: Any = None,
            **extra_args: Any,
        ):
            del extra_args
            losses = schedule_features.observe(state.losses, value, num_steps)
            seen = schedule_features.schedule_features(state.step, losses, num_steps, num_steps)
            inputs = seen[:, None]
            if self.released:
                rectified = jax.nn.relu(dense(schedule["rectified"], inputs))
                inputs = dense(schedule["straight"], inputs) + rectified
            cell = lstm(schedule["lstm"], inputs, state.lstm)
            output = dense(schedule["output"], cell.output)[0, 0] * float(self.scheduled)
            scale = self.step_multiplier * SCHEDULE_MULTIPLE * jnp.exp(output)

            def tensor(gradient: jax.Array, param: jax.Array, *old: Any):
                gradient = clipped(gradient)
                statistics = accumulate(gradient, grouped(old), Decays.fixed())
                inputs = Inputs(gradient, param, statistics)
                step = sized_step(meta_params["mlp"], inputs, self.exp_multiplier)
                return -scale.astype(param.dtype) * step, *statistics.flat()

            updates, flat = map_tensors(tensor, gradients, params, state.statistics.flat())
            step = jnp.asarray(optax.safe_increment(state.step))
            return updates, CeloState(step, grouped(flat), losses, cell)

        return transformation(init, update)
