"""What a suite is trained with: a learned optimizer, or a baseline with a stated tuning budget.

A baseline is tuned on each task by itself, on the very runs that are reported: an oracle in its
favour. A learned optimizer has one setting, its meta-parameters, and no choice.

    adam, adam_cosine, adamw, sgd, momentum, adagrad,     each at 15 learning rates, and more where
    rmsprop, lion, muon, schedule_free                    the best one is at the end of the grid
    nadamw10, nadamw100, ...                              the first of the list of NAdamW
    adam8p20, ...                                         random search of adam8p: so many draws
"""

import abc
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from metaopt import exports, held_out
from metaopt.baselines import grid, opt_list, optimizers, search_spaces
from metaopt.baselines.grid import RATES, mean_loss
from metaopt.baselines.one_rate import RULES, Adam, OneRate, Rule
from metaopt.baselines.optimizers import SearchSpace
from metaopt.held_out import HeldOutRuns
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers.base import LearnedOptimizer, MetaParams
from taskset.base import Dataset, Key, TaskFamily
from taskset.errors import InputError, unknown_name

Kind: TypeAlias = Literal["subject", "baseline", "export"]

CONFIGURATIONS_AT_ONCE = 10
RANDOM_SPACE = "adam8p_wide_grid"
TITLES = {
    "sgd": "SGD",
    "momentum": "SGD + momentum",
    "adamw": "AdamW",
    "adagrad": "Adagrad",
    "rmsprop": "RMSprop",
    "lion": "Lion",
    "muon": "Muon",
    "schedule_free": "schedule-free AdamW",
}


class Trials(NamedTuple):
    """What every setting of a contender did on the held-out runs of one task."""

    settings: Sequence[Mapping[str, np.ndarray]]  # what there was to choose from, [] float32
    runs: HeldOutRuns  # arrays of numpy

    @property
    def best(self) -> int:
        """The setting with the least final training loss, averaged over seeds."""
        return int(np.argmin(mean_loss(self.runs.final_train_loss)))


@dataclasses.dataclass(frozen=True, eq=False)
class Contender(abc.ABC):
    """An optimizer under a name, with the settings that it may try on each task."""

    title: str
    optimizer: LearnedOptimizer
    kind: Kind = dataclasses.field(default="baseline", kw_only=True)

    @property
    @abc.abstractmethod
    def tuning(self) -> str:
        """What it may try on a task, in words."""

    @property
    @abc.abstractmethod
    def num_configurations(self) -> int:
        """How many settings it tries on a task, at least."""

    @property
    @abc.abstractmethod
    def definition(self) -> Mapping[str, Any]:
        """All that decides what it does, as JSON values."""

    @abc.abstractmethod
    def train(
        self, family: TaskFamily, data: Dataset, keys: Key, num_steps: int, announced: int
    ) -> Trials:
        """Trains the held-out runs of `keys` with all settings; `announced` is the horizon told."""

    def meta_params_of(self, setting: Mapping[str, np.ndarray]) -> MetaParams:
        """The meta-parameters that a setting stands for."""
        return setting


@dataclasses.dataclass(frozen=True, eq=False)
class Learned(Contender):
    """A learned optimizer with its meta-parameters; nothing is chosen."""

    meta_params: MetaParams
    kind: Kind = dataclasses.field(default="subject", kw_only=True)

    @property
    def tuning(self) -> str:
        return "none"

    @property
    def num_configurations(self) -> int:
        return 1

    @property
    def definition(self) -> Mapping[str, Any]:
        sha256 = exports.checksum(self.meta_params)
        return {"optimizer": repr(self.optimizer), "meta_params": sha256}

    def train(
        self, family: TaskFamily, data: Dataset, keys: Key, num_steps: int, announced: int
    ) -> Trials:
        problem = OptimizerTraining(family, self.optimizer, num_steps=announced)
        stacked = jax.tree.map(lambda x: jnp.asarray(x)[None], self.meta_params)
        at_once = held_out.runs_at_once(family)
        runs = held_out.train(problem, stacked, data, keys, num_steps, at_once)
        return Trials([{}], jax.device_get(runs))

    def meta_params_of(self, setting: Mapping[str, np.ndarray]) -> MetaParams:
        del setting  # there is one
        return self.meta_params


@dataclasses.dataclass(frozen=True, eq=False)
class AtEveryRate(Contender):
    """A baseline at a grid of learning rates, which grows until it brackets the best one."""

    optimizer: OneRate  # pyright: ignore[reportIncompatibleVariableOverride]
    rates: tuple[float, ...] = RATES

    @property
    def tuning(self) -> str:
        return f"{len(self.rates)} rates, per task"

    @property
    def num_configurations(self) -> int:
        return len(self.rates)

    @property
    def definition(self) -> Mapping[str, Any]:
        return {"optimizer": repr(self.optimizer), "rates": self.rates}

    def train(
        self, family: TaskFamily, data: Dataset, keys: Key, num_steps: int, announced: int
    ) -> Trials:
        at_once = held_out.runs_at_once(family)
        found = grid.tune(self.optimizer, family, data, keys, num_steps, self.rates, at_once)
        runs = HeldOutRuns(found.curves, found.final_train_loss, found.test_loss)
        return Trials([{"learning_rate": rate} for rate in found.rates], runs)


@dataclasses.dataclass(frozen=True, eq=False)
class Configurations(Contender):
    """Configurations of one of TaskSet's search spaces."""

    names: tuple[str, ...]
    how: str  # they were chosen

    @property
    def tuning(self) -> str:
        return f"{self.how}, per task"

    @property
    def num_configurations(self) -> int:
        return len(self.names)

    @property
    def definition(self) -> Mapping[str, Any]:
        values = {name: search_spaces.hyperparameters(name) for name in self.names}
        return {"optimizer": repr(self.optimizer), "configurations": values}

    def train(
        self, family: TaskFamily, data: Dataset, keys: Key, num_steps: int, announced: int
    ) -> Trials:
        problem = OptimizerTraining(family, self.optimizer, num_steps=announced)
        stacked = jax.device_get(optimizers.stack(self.names))
        runs = held_out.train_in_parts(
            problem,
            stacked,
            data,
            keys,
            num_steps,
            min(len(self.names), CONFIGURATIONS_AT_ONCE),
            held_out.runs_at_once(family),
        )
        each = [{key: x[i] for key, x in stacked.items()} for i in range(len(self.names))]
        return Trials(each, runs)


def named(name: str) -> Contender:
    """The baseline of this name. Raises `InputError`, with the nearest name, when there is none."""
    if name in RULES:
        return AtEveryRate(TITLES[name], Rule(name=name))
    if name in ("adam", "adam_cosine"):
        cosine = name == "adam_cosine"
        return AtEveryRate("Adam" + cosine * " + cosine", Adam("cosine" if cosine else "constant"))
    counted = re.fullmatch(r"(nadamw|adam8p)([1-9][0-9]{0,3})", name)
    if counted is None:
        raise unknown_name("baseline", name, names())
    number = int(counted[2])
    if number > search_spaces.NUM_RELEASED:
        raise InputError(
            f"baseline {name!r} has {number} configurations; there are {search_spaces.NUM_RELEASED}"
        )
    if counted[1] == "nadamw":
        chosen = tuple(opt_list.name_for_idx(idx) for idx in range(number))
        title, how = f"NAdamW list of {number}", f"the first {number} of the list"
        return Configurations(title, SearchSpace(opt_list.SPACE), chosen, how)
    chosen = tuple(f"{RANDOM_SPACE}_seed{seed}" for seed in range(number))
    how = f"random search of adam8p, {number} draws"
    return Configurations(f"adam8p, {number} draws", SearchSpace(RANDOM_SPACE), chosen, how)


def names() -> tuple[str, ...]:
    """The names of the baselines; of those with a number, with the usual ones."""
    return ("adam", "adam_cosine", *RULES, "nadamw10", "nadamw100", "adam8p20")
