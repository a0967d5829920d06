"""An evaluation as it was written, as arrays: format 2 of `metaopt evaluate`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from taskset.errors import InputError

FORMAT_VERSION = 2
IN_DISTRIBUTION = "in_distribution"
SUBJECT = "subject"
WRONG_HORIZON = "wrong_horizon"


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """One that was evaluated, and what was spent on choosing its setting."""

    name: str
    kind: str  # subject, baseline or export
    tuning: str
    configurations: int
    tuning_runs: int
    chosen: str


@dataclasses.dataclass(frozen=True)
class Result:
    """What an optimizer did on a task. What was not finite is NaN."""

    final_train_loss: np.ndarray  # [num_seeds]
    test_loss: np.ndarray  # [num_seeds]
    curves: np.ndarray  # [num_seeds, num_points], smoothed training loss
    setting: Mapping[str, Any]
    update_milliseconds: float
    step_milliseconds: float
    state_bytes_per_parameter: float


@dataclasses.dataclass(frozen=True)
class AdamGrid:
    """Smoothed curves of Adam at many rates, which may be longer than those of the task."""

    steps: np.ndarray  # [num_points]
    curves: np.ndarray  # [num_rates, num_seeds, num_points]


@dataclasses.dataclass(frozen=True)
class TaskResults:
    """All results on one task."""

    name: str
    family: str
    split: str
    axis: str | None  # what it widens
    scale: float | None  # by how much
    of: str | None  # the task that it is wider than
    num_steps: int
    num_parameters: int | None  # None where all optimizers failed
    initial: float
    best: float
    steps: np.ndarray  # [num_points]
    results: Mapping[str, Result]  # by optimizer; one that failed is not there
    adam: AdamGrid | None


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """One subject beside others over a suite."""

    subject: str
    sha256: str
    suite: str
    created: str
    version: str
    platform: str
    seeds: tuple[int, ...]
    optimizers: tuple[Optimizer, ...]  # the subject first
    tasks: tuple[TaskResults, ...]
    failures: tuple[Mapping[str, str], ...]

    @property
    def names(self) -> list[str]:
        """Of the optimizers."""
        return [optimizer.name for optimizer in self.optimizers]


def read(evaluation: Mapping[str, Any]) -> Evaluated:
    """The evaluation as arrays.

    Raises `InputError` when it is none, of another format, or without a task, a seed or a subject.
    """
    version = evaluation.get("format_version")
    if version != FORMAT_VERSION:
        raise InputError(
            f"the evaluation has format {version!r}, not {FORMAT_VERSION}; evaluate again"
        )
    try:
        found = _read(evaluation)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"the evaluation is damaged, at {error}; evaluate again, or take another file"
        ) from error
    if not (found.tasks and found.seeds and found.optimizers):
        raise InputError("the evaluation has no task, no seed or no optimizer; evaluate again")
    if found.optimizers[0].kind != SUBJECT:
        raise InputError(
            f"the first optimizer of the evaluation is a {found.optimizers[0].kind}, not the "
            "subject; evaluate again"
        )
    return found


def _read(evaluation: Mapping[str, Any]) -> Evaluated:
    seeds = tuple(evaluation["seeds"])
    return Evaluated(
        subject=str(evaluation["subject"]),
        sha256=str(evaluation.get("sha256", "")),
        suite=str(evaluation["suite"]),
        created=str(evaluation.get("created", "")),
        version=str(evaluation.get("metaopt", "")),
        platform=str(evaluation.get("platform", "")),
        seeds=seeds,
        optimizers=tuple(_optimizer(found) for found in evaluation["optimizers"]),
        tasks=tuple(_task(found, len(seeds)) for found in evaluation["tasks"]),
        failures=tuple(evaluation.get("failures", ())),
    )


def _optimizer(found: Mapping[str, Any]) -> Optimizer:
    return Optimizer(**{field.name: found[field.name] for field in dataclasses.fields(Optimizer)})


def _task(found: Mapping[str, Any], num_seeds: int) -> TaskResults:
    steps = np.asarray(found["steps"], np.float64)
    of = lambda result: _result(result, num_seeds, len(steps))
    return TaskResults(
        name=found["task"],
        family=found["family"],
        split=found["split"],
        axis=found.get("axis"),
        scale=found.get("scale"),
        of=found.get("of"),
        num_steps=int(found["num_steps"]),
        num_parameters=found["num_parameters"],
        initial=_number(found["anchors"]["initial"]),
        best=_number(found["anchors"]["best"]),
        steps=steps,
        results={str(name): of(result) for name, result in found["results"].items()},
        adam=_grid(found.get("adam_grid"), steps),
    )


def _grid(found: Mapping[str, Any] | None, steps: np.ndarray) -> AdamGrid | None:
    if not found:
        return None
    steps = np.asarray(found.get("steps", steps), np.float64)
    curves = np.asarray(found["curves"], np.float64)
    return AdamGrid(steps, curves.reshape(len(curves), -1, len(steps)))


def _result(found: Mapping[str, Any], num_seeds: int, num_points: int) -> Result:
    return Result(
        final_train_loss=_losses(found["final_train_loss"], (num_seeds,)),
        test_loss=_losses(found["test_loss"], (num_seeds,)),
        curves=_losses(found["curves"], (num_seeds, num_points)),
        setting=dict(found.get("setting") or {}),
        update_milliseconds=_number(found.get("update_milliseconds")),
        step_milliseconds=_number(found.get("step_milliseconds")),
        state_bytes_per_parameter=_number(found.get("state_bytes_per_parameter")),
    )


def _losses(found: Sequence[Any], shape: tuple[int, ...]) -> np.ndarray:
    # As floats, None becomes NaN.
    return np.asarray(found, np.float64).reshape(shape)


def _number(found: float | None) -> float:
    return np.nan if found is None else float(found)
