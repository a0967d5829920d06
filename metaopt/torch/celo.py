"""One MLP for all parameters, and one recurrent network that schedules it."""

import dataclasses
from collections.abc import Sequence

import torch

from metaopt.torch.architecture import Run, Shapes, Slot, State, Weights
from metaopt.torch.celo2 import NUM_OUTPUTS
from metaopt.torch.factored_features import NUM_EXTENDED
from metaopt.torch.network import dense, layer_shapes, network_shapes
from metaopt.torch.recurrent import LSTMState, lstm, lstm_shapes, start_shapes, started
from metaopt.torch.schedule_features import SizedArchitecture


@dataclasses.dataclass(frozen=True)
class Celo(SizedArchitecture):
    """See `metaopt.learned_optimizers.Celo`."""

    lstm_size: int
    hidden_size: int
    scheduled: bool
    released: bool
    default_num_steps: int
    step_multiplier: float
    schedule_multiple: float
    forget_bias: float

    def shapes(self) -> Shapes:
        num_seen, size = self.num_schedule_features, self.lstm_size
        num_inputs, released = num_seen, {}
        if self.released:
            num_inputs = size
            for name in ("straight", "rectified"):
                released |= layer_shapes(f"schedule.{name}", num_seen, size)
        hidden = (self.hidden_size, self.hidden_size)
        return {
            **network_shapes((NUM_EXTENDED, *hidden, NUM_OUTPUTS), "mlp."),
            **lstm_shapes("schedule.lstm", num_inputs, size),
            **start_shapes("schedule.start", size),
            **layer_shapes("schedule.output", size, 1),
            **released,
        }

    def init(self, weights: Weights, param: torch.Tensor) -> State:
        return self.zero_statistics(param)

    def init_run(self, weights: Weights, param: torch.Tensor) -> State:
        start = weights.on(param.device)["schedule"]["start"]
        return self.no_losses(param) | started(start)

    def updates(self, weights: Weights, slots: Sequence[Slot], run: Run) -> list[torch.Tensor]:
        scale = self._scale(weights.on(slots[0].param.device)["schedule"], run)
        updates = []
        for slot in slots:
            clipped = slot._replace(gradient=self.clipped(slot.gradient))
            self.accumulate(clipped.gradient, slot.state, self.fixed_decays())
            step = self.sized_step(weights.like(slot.param)["mlp"], clipped)
            updates.append(-scale.to(step) * step)
        return updates

    def _scale(self, schedule: dict, run: Run) -> torch.Tensor:
        """What every step is multiplied by, []."""
        num_steps = self.default_num_steps if run.num_steps is None else run.num_steps
        self.observe(run.state, run.value, num_steps)
        inputs = self.schedule_features(run.step, run.state, num_steps, num_steps)[:, None]
        if self.released:
            rectified = torch.relu(dense(schedule["rectified"], inputs))
            inputs = dense(schedule["straight"], inputs) + rectified
        kept = LSTMState(*(run.state[name][:, None] for name in LSTMState._fields))
        cell = lstm(schedule["lstm"], inputs, kept, self.forget_bias)
        run.state.update(output=cell.output[:, 0].clone(), memory=cell.memory[:, 0].clone())
        output = dense(schedule["output"], cell.output)[0, 0] * float(self.scheduled)
        return self.step_multiplier * self.schedule_multiple * torch.exp(output)
