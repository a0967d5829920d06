"""`LearnedOptimizer`: an export as a `torch.optim.Optimizer`."""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from metaopt import export_files, golden
from metaopt.torch import reading
from metaopt.torch.architecture import Run, Slot, State
from taskset.errors import InputError

RUN = "run"  # the key of a state dictionary for what is remembered besides tensors
STEP = "step"


class LearnedOptimizer(torch.optim.Optimizer):
    """A learned optimizer that was exported to the folder `path`.

    It moves parameters by `lr * (update - weight_decay * parameter)`; `lr` is 1 unless a scheduler
    or a parameter group says otherwise. `num_steps` announces the length of training, for
    architectures that look at it. With `check` the reference trajectory of the export is run first,
    which takes milliseconds.

    Accumulators are float32, or float64 for float64 parameters. `state_dict` has one key more than
    those of other optimizers, "run": steps, and what is remembered besides tensors.

    Raises `InputError` as `metaopt.load` does, and where the architecture has no port.
    """

    def __init__(
        self,
        params: Any,
        path: str | os.PathLike[str],
        *,
        lr: float | torch.Tensor = 1.0,
        weight_decay: float = 0.0,
        num_steps: int | None = None,
        check: bool = True,
    ) -> None:
        exported = reading.read(path)
        if check:
            export_files.check_trajectory(exported.files, lambda: _trajectory(exported))
        self._begin(params, exported, {"lr": lr, "weight_decay": weight_decay}, num_steps)

    def _begin(
        self,
        params: Any,
        exported: reading.Exported,
        defaults: Mapping[str, Any],
        num_steps: int | None,
    ) -> None:
        self._exported, self._num_steps = exported, num_steps
        self._step_count, self._run_state = 0, State()
        exported.architecture.check(num_steps)
        super().__init__(params, dict(defaults))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Raises `InputError` for parameters that are not real floating-point numbers."""
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            if not param.is_floating_point():
                raise InputError(
                    f"a parameter is of {param.dtype}; learned optimizers move real numbers only"
                )

    @torch.no_grad()
    def step(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        closure: Callable[[], Any] | None = None,
        *,
        value: torch.Tensor | float | None = None,
        valid_value: torch.Tensor | float | None = None,
    ) -> Any:
        """One update of all parameters that have a gradient.

        Returns the loss by `closure`, where there is one: it computes the loss and the gradients.
        Architectures that look at the loss see that one, or else `value`; `valid_value` is a loss
        on validation data.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
            value = loss if value is None else value
        slots, moved = self._slots()
        if slots:
            run = self._run(slots[0].param, value, valid_value)
            architecture, weights, _ = self._exported
            updates = architecture.updates(weights, slots, run)
            for (group, param), slot, update in zip(moved, slots, updates, strict=True):
                if group["weight_decay"]:
                    update.sub_(slot.param, alpha=group["weight_decay"])
                param.add_(update.mul_(group["lr"]))
        self._step_count += 1
        return loss

    def _slots(self) -> tuple[list[Slot], list[tuple[dict[str, Any], torch.Tensor]]]:
        """The tensors that move, and the group and parameter that each is of."""
        slots, moved = [], []
        everything = ((group, p) for group in self.param_groups for p in group["params"])
        for index, (group, param) in enumerate(everything):
            gradient = param.grad
            if gradient is None or not param.numel():
                continue
            if gradient.is_sparse:
                raise RuntimeError("LearnedOptimizer does not support sparse gradients")
            dtype = torch.float64 if param.dtype == torch.float64 else torch.float32
            as_float, state = param.detach().to(dtype), self.state[param]
            if not state:
                state.update(self._exported.architecture.init(self._exported.weights, as_float))
            slots.append(Slot(gradient.to(dtype), as_float, state, index))
            moved.append((group, param))
        return slots, moved

    def _run(self, like: torch.Tensor, value: Any, valid_value: Any) -> Run:
        architecture, weights, _ = self._exported
        if not self._run_state:
            self._run_state = architecture.init_run(weights, like)
        as_scalar = lambda x: (
            None
            if x is None
            else torch.as_tensor(x).detach().to(like.device, torch.float32).reshape(())
        )
        num_tensors = sum(1 for p in self._parameters() if p.numel())
        return Run(
            step=self._step_count,
            num_steps=self._num_steps,
            num_tensors=num_tensors,
            value=as_scalar(value),
            valid_value=as_scalar(valid_value),
            state=self._run_state,
        )

    def _parameters(self) -> Iterable[torch.Tensor]:
        return itertools.chain.from_iterable(group["params"] for group in self.param_groups)

    def state_dict(self) -> dict[str, Any]:
        """As of every optimizer, with "run" besides: tensors and an integer, no code."""
        return super().state_dict() | {RUN: {STEP: self._step_count, **self._run_state}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on where the optimizer was that `state_dict` is of."""
        if RUN not in state_dict:
            raise InputError(
                "this is no state of a LearnedOptimizer: it has no 'run'; "
                "load what its state_dict() returned"
            )
        super().load_state_dict(state_dict)
        # It has cast accumulators to the dtype of their parameters, which may be narrower.
        names = itertools.chain.from_iterable(g["params"] for g in state_dict["param_groups"])
        for name, param in zip(names, self._parameters(), strict=True):
            if name in state_dict["state"]:
                self.state[param] = _copied(state_dict["state"][name], param.device)
        run = dict(state_dict[RUN])
        self._step_count = int(run.pop(STEP))
        devices = (param.device for param in self._parameters())
        self._run_state = _copied(run, next(devices, torch.device("cpu")))

    def __getstate__(self) -> dict[str, Any]:
        ours = ("_exported", "_num_steps", "_step_count", "_run_state")
        return super().__getstate__() | {name: getattr(self, name) for name in ours}


def _copied(state: Mapping[str, torch.Tensor], device: torch.device) -> State:
    return {name: x.detach().to(device, copy=True) for name, x in state.items()}


def _trajectory(exported: reading.Exported) -> dict[str, np.ndarray]:
    """What the optimizer does in the reference run: see `golden`."""
    arrays = exported.files.golden
    noise = golden.part(arrays, "noise")
    # In the order of JAX, which sorts names.
    params = {k: torch.tensor(x) for k, x in sorted(golden.part(arrays, "param").items())}
    defaults = {"lr": 1.0, "weight_decay": 0.0}
    optimizer = LearnedOptimizer.__new__(LearnedOptimizer)
    optimizer._begin(params.values(), exported, defaults, exported.files.golden_horizon)
    after = {name: [] for name in params}
    for step in range(golden.NUM_STEPS):
        for name, param in params.items():
            param.grad = torch.tensor(noise[name][step]) + golden.GRADIENT_OF_PARAM * param
        value = sum(torch.sum(torch.square(p.grad)) for p in params.values() if p.grad is not None)
        optimizer.step(value=value)
        for name, param in params.items():
            after[name].append(param.numpy().copy())
    return {name: np.stack(arrays) for name, arrays in after.items()}
