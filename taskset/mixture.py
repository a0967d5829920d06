"""A distribution over tasks: families, fixed tasks and augmentations, with weights and limits.

    seed ──► component ──► configuration of the split ──► limits ──► augmentation ──► name

Families with equal seeds share some of their draws, so a split is a range of seeds that is the same
for all families: no held-out task has a sibling among those trained on.
"""

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from taskset import catalog, configs, costs, timings
from taskset.augment import AUGMENTATIONS
from taskset.errors import InputError, unknown_name
from taskset.named import NamedFamily, fixed_names, names
from taskset.options import Buckets, Fidelity, Options, Source

TaskSplit: TypeAlias = Literal["train", "validation", "test"]

# Of each thousand seeds, in hundreds: eight to train on, one to choose with, one to report.
HUNDREDS: dict[str, range] = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
MAX_TRIES = 1000  # draws until one is within the limits


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Which tasks are trained on, and how often each.

    Raises `InputError` for an unknown component or value, or limits that are not positive.
    """

    # families, or tasks by name; "mlp_family*3" is drawn three times as often
    components: tuple[str, ...] = ()  # none: all 12 families
    split: TaskSplit = "train"
    num_seeds: int = 1000  # configurations of each family, of all splits
    source: Source = "embedded"
    fidelity: Fidelity = "intended"
    buckets: Buckets = "padded"
    # as "rescale_loss:spread=100", each used for a share of the tasks
    augmentations: tuple[str, ...] = ()
    augmented: float = 0.5  # that share
    max_parameters: int = 0  # 0: any number, as for the next three
    max_memory_bytes: int = 0  # by estimate, of one task
    max_step_seconds: float = 0.0  # measured, or estimated where never measured
    max_batch_size: int = 0

    def __post_init__(self) -> None:
        Options(self.source, self.fidelity, self.buckets)
        if self.split not in HUNDREDS:
            raise unknown_name("split of tasks", self.split, HUNDREDS)
        if self.num_seeds < 1000:
            raise InputError(
                f"num_seeds is {self.num_seeds}; it must be at least 1000, so that every split has "
                "some"
            )
        if not 0 <= self.augmented <= 1:
            raise InputError(f"augmented is {self.augmented}; it must be from 0 to 1")
        for name in ("max_parameters", "max_memory_bytes", "max_step_seconds", "max_batch_size"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0")
        for component, _ in self.weighted:
            if component not in names():
                catalog.build(component)
        for augmentation in self.augmentations:
            kind = augmentation.partition(":")[0]
            if kind not in AUGMENTATIONS:
                raise unknown_name("augmentation", kind, AUGMENTATIONS)
            catalog.build(f"quadratic+{augmentation}")

    @property
    def weighted(self) -> tuple[tuple[str, float], ...]:
        """The components with their weights."""
        return tuple(_weighted(component) for component in self.components or names())

    def sample(self, seed: int, like: int | None = None) -> str:
        """The name of a task; the same seed, the same one (where timings are the same).

        With `like`, a task of the component that the task of that other seed is of: to draw several
        tasks in a row from one family leaves each as likely as before, in the long run.

        Raises `InputError` when no draw of many is within the limits.
        """
        kept = self.weighted if like is None else (self._first(like, self.weighted)[0],)
        rng = np.random.RandomState(seed)
        _, name = self._first(rng, kept)
        return self._augmented(rng, name)

    def _first(
        self, rng: np.random.RandomState | int, components: Sequence[tuple[str, float]]
    ) -> tuple[tuple[str, float], str]:
        """The component, and the name, of the first task that can be built and is within limits."""
        rng = np.random.RandomState(rng) if isinstance(rng, int) else rng
        for _ in range(MAX_TRIES):
            component, name = self._draw(rng, components)
            if name and self._fits(name):
                return component, name
        raise InputError(
            f"no task of {MAX_TRIES} draws is within the limits of {self}; raise a limit"
        )

    def _draw(
        self, rng: np.random.RandomState, components: Sequence[tuple[str, float]]
    ) -> tuple[tuple[str, float], str | None]:
        """A component and its task, or None when its configuration cannot be built."""
        weights = np.array([weight for _, weight in components])
        component = components[rng.choice(len(components), p=weights / sum(weights))]
        return component, self._task(component[0], int(rng.choice(self._seeds())))

    def _task(self, component: str, seed: int) -> str | None:
        if component not in names():
            return self._named(component) if component in fixed_names() else component
        name = f"{component}_seed{seed}"
        return self._named(name) if configs.feasible(name) else None

    def _seeds(self) -> np.ndarray:
        seeds = np.arange(self.num_seeds)
        return seeds[np.isin(seeds // 100 % 10, list(HUNDREDS[self.split]))]

    def _named(self, name: str) -> str:
        return catalog.name_of(NamedFamily(name, self.source, self.fidelity, self.buckets))

    def _fits(self, name: str) -> bool:
        family = catalog.build(name)
        exact = catalog.exact(family)
        if self.max_batch_size and exact.batch_size > self.max_batch_size:
            return False
        if self.max_parameters and costs.num_parameters(exact) > self.max_parameters:
            return False
        if self.max_memory_bytes and costs.estimate(family).memory_bytes > self.max_memory_bytes:
            return False
        return not self.max_step_seconds or timings.seconds(name) <= self.max_step_seconds

    def _augmented(self, rng: np.random.RandomState, name: str) -> str:
        used = [x for x in self.augmentations if rng.uniform() < self.augmented]
        return "+".join((name, *used))


def split_of(seed: int) -> TaskSplit:
    """The split to which the configurations of this seed belong, in every family."""
    hundred = seed // 100 % 10
    return next(split for split in ("train", "validation", "test") if hundred in HUNDREDS[split])


def _weighted(component: str) -> tuple[str, float]:
    name, times, weight = component.rpartition("*")
    if not times:
        return component, 1.0
    if not re.fullmatch(r"\d+(\.\d+)?", weight) or float(weight) <= 0:
        raise InputError(f"component {component!r}: weight {weight!r} is not a positive number")
    return name, float(weight)
