"""Suites: lists of held-out tasks that an optimizer is evaluated on, as data.

    small   minutes on two cores: what was trained on, and a step away from it in each direction
    iid     held-out runs of what was trained on
    ood     wider, deeper, other data, other activations, longer, a wrong horizon announced
    fixed   the 109 tasks of TaskSet that were designed by hand

An optimizer meets no run of its meta-training here: runs have keys of their own, and tasks sampled
from families have seeds of the split "test".
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from taskset import catalog, fixed
from taskset.augment import Augmented
from taskset.base import TaskFamily
from taskset.errors import InputError, unknown_name
from taskset.families.mlp import MLPFamily
from taskset.named import NamedFamily, fixed_names

Split: TypeAlias = Literal["in_distribution", "out_of_distribution"]
Axis: TypeAlias = Literal["width", "depth", "data", "activation", "horizon", "wrong_horizon"]

REFERENCE = MLPFamily()  # what is varied where nothing that was trained on is an MLP
SMALL_TASKS = 2  # of those trained on, in the small suite
# Of seeds of the split "test"; a step takes a core some milliseconds.
OTHER_KINDS = (
    "conv_pooling_family_seed901:source=embedded",
    "rnn_text_classification_family_seed900:source=embedded",
    "quadratic_family_seed900:source=embedded",
)
NUM_SEEDS = {"small": 5, "iid": 16, "ood": 8, "fixed": 3}
NUM_SEEDS_OF_FILE = 5
DATASETS = ("patches_8x8", "digits", "patches_16x16")
ACTIVATIONS = ("tanh", "relu", "gelu", "sigmoid")


@dataclasses.dataclass(frozen=True)
class TrainedOn:
    """What an optimizer is from: tasks that may be reported on, and how long inner runs were."""

    tasks: tuple[str, ...]
    num_steps: int
    families: tuple[str, ...] = ()  # that a mixture drew from, or fixed tasks in it


@dataclasses.dataclass(frozen=True)
class SuiteTask:
    """A task of a suite. Raises `InputError` for an unknown name, or steps below 1."""

    name: str  # of `taskset.catalog`
    num_steps: int
    split: Split = "in_distribution"
    axis: Axis | None = None  # in which it is away from what was trained on
    scale: float | None = None  # how far
    announced_num_steps: int | None = None  # that learned optimizers are told; None: the truth

    def __post_init__(self) -> None:
        catalog.build(self.name)
        for name in ("num_steps", "announced_num_steps"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise InputError(f"{name} of {self.name} is {value}; it must be at least 1")

    @property
    def announced(self) -> int:
        """The horizon that learned optimizers are told."""
        return self.announced_num_steps or self.num_steps

    @property
    def title(self) -> str:
        """The name, the number of steps, and the horizon where it is wrong: unique in a suite."""
        told = "" if self.announced == self.num_steps else f", announced {self.announced}"
        return f"{self.name}, {self.num_steps} steps{told}"

    @property
    def component(self) -> str:
        """What a mixture calls it: the name of its family, or of a fixed task."""
        family = _bare(catalog.build(self.name))
        if not isinstance(family, NamedFamily):
            return self.name.partition(":")[0].partition("+")[0]
        return family.name if family.name in fixed_names() else family.name.rpartition("_seed")[0]

    @property
    def family(self) -> str:
        """A group for tables: its family, or the kind of a fixed task."""
        name = self.component
        return f"fixed_{fixed.kind(name)}" if name in fixed_names() else name


@dataclasses.dataclass(frozen=True)
class Suite:
    """Tasks, and how many held-out runs of each."""

    name: str
    tasks: tuple[SuiteTask, ...]
    num_seeds: int


def named(name: str, trained_on: TrainedOn) -> Suite:
    """The suite of this name for an optimizer. Raises `InputError` when there is none."""
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    different: dict[str, SuiteTask] = {}
    for task in SUITES[name](trained_on):
        different.setdefault(task.title, task)
    if not different:
        raise InputError(f"suite {name} is of what was trained on, which is unknown; name --tasks")
    return Suite(name, tuple(different.values()), NUM_SEEDS[name])


def of_tasks(name: str, tasks: Sequence[str], trained_on: TrainedOn) -> Suite:
    """A suite of tasks by name; in distribution are those that were trained on."""
    return Suite(name, _away(tasks, trained_on), NUM_SEEDS_OF_FILE)


def _small(trained_on: TrainedOn) -> tuple[SuiteTask, ...]:
    steps, base = trained_on.num_steps, _mlp(trained_on)
    same = next(iter(trained_on.tasks), catalog.name_of(REFERENCE))
    return (
        *_iid(trained_on)[:SMALL_TASKS],
        _wider(base, steps, 4),
        _deeper(base, steps, 3),
        *_other_data(base, steps)[:1],
        *_other_activations(base, steps)[:1],
        _longer(same, steps, 5),
        *_misled(same, steps, (0.1, 10)),
        *_away(OTHER_KINDS, trained_on),
    )


def _iid(trained_on: TrainedOn) -> tuple[SuiteTask, ...]:
    return tuple(SuiteTask(task, trained_on.num_steps) for task in trained_on.tasks)


def _ood(trained_on: TrainedOn) -> tuple[SuiteTask, ...]:
    steps, base = trained_on.num_steps, _mlp(trained_on)
    same = next(iter(trained_on.tasks), catalog.name_of(REFERENCE))
    return (
        *(_wider(base, steps, scale) for scale in (2, 4, 8, 16)),
        *(_deeper(base, steps, scale) for scale in (2, 3, 4)),
        *_other_data(base, steps),
        *_other_activations(base, steps),
        *(_longer(same, steps, scale) for scale in (2, 5, 10)),
        *_misled(same, steps, (0.1, 0.5, 2, 10)),
        *_away(OTHER_KINDS, trained_on),
    )


def _fixed(trained_on: TrainedOn) -> tuple[SuiteTask, ...]:
    return _away([catalog.name_of(NamedFamily(name)) for name in fixed_names()], trained_on)


SUITES: dict[str, Callable[[TrainedOn], tuple[SuiteTask, ...]]] = {
    "small": _small,
    "iid": _iid,
    "ood": _ood,
    "fixed": _fixed,
}


def _mlp(trained_on: TrainedOn) -> MLPFamily:
    """The first MLP among what was trained on, whose size and data can be varied by name."""
    families = (_bare(catalog.build(task)) for task in trained_on.tasks)
    found = next((family for family in families if isinstance(family, MLPFamily)), REFERENCE)
    return dataclasses.replace(found, hidden=found.hidden or REFERENCE.hidden)


def _away(names: Sequence[str], trained_on: TrainedOn) -> tuple[SuiteTask, ...]:
    """Tasks by name; in distribution are those that were trained on, and others of a mixture."""
    known = {exact_name(task) for task in trained_on.tasks}
    listed = [SuiteTask(name, trained_on.num_steps) for name in dict.fromkeys(names)]
    return tuple(
        task
        if exact_name(task.name) in known or task.component in trained_on.families
        else dataclasses.replace(task, split="out_of_distribution")
        for task in listed
    )


def _wider(base: MLPFamily, steps: int, scale: int) -> SuiteTask:
    """`base` with layers `scale` times as wide."""
    hidden = tuple(scale * width for width in base.hidden)
    return _changed(dataclasses.replace(base, hidden=hidden), steps, "width", scale)


def _deeper(base: MLPFamily, steps: int, scale: int) -> SuiteTask:
    """`base` with `scale` times as many hidden layers."""
    return _changed(dataclasses.replace(base, hidden=base.hidden * scale), steps, "depth", scale)


def _other_data(base: MLPFamily, steps: int) -> list[SuiteTask]:
    others = [name for name in DATASETS if name != base.dataset]
    return [_changed(dataclasses.replace(base, dataset=name), steps, "data") for name in others]


def _other_activations(base: MLPFamily, steps: int) -> list[SuiteTask]:
    others = [name for name in ACTIVATIONS if name != base.activation]
    changed = [dataclasses.replace(base, activation=name) for name in others]
    return [_changed(family, steps, "activation") for family in changed]


def _changed(family: MLPFamily, steps: int, axis: Axis, scale: float | None = None) -> SuiteTask:
    return SuiteTask(catalog.name_of(family), steps, "out_of_distribution", axis, scale)


def _longer(task: str, steps: int, scale: int) -> SuiteTask:
    """`task` for `scale` times as many steps as in meta-training, which is what is announced."""
    return SuiteTask(task, steps * scale, "out_of_distribution", "horizon", scale)


def _misled(task: str, steps: int, scales: Sequence[float]) -> list[SuiteTask]:
    """`task` as long as in meta-training, announced to be `scales` times as long.

    A scale is left out where a short run rounds its horizon to the right one.
    """
    away = "out_of_distribution"
    return [
        SuiteTask(task, steps, away, "wrong_horizon", scale, announced)
        for scale in scales
        if (announced := max(1, round(steps * scale))) != steps
    ]


def _bare(family: TaskFamily) -> TaskFamily:
    while isinstance(family, Augmented):
        family = family.family
    return family


def exact_name(task: str) -> str:
    """The name of a task without what makes no difference to it."""
    return catalog.name_of(catalog.exact(catalog.build(task)))
