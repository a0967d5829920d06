"""Families made from a configuration: one compiled program for all that share a structure.

A configuration builds a template, a task whose static part is its structure and whose leaves are
its settings: sizes within a bucket, scales, coefficients. The structure alone decides the compiled
program. The settings travel with the data, as arguments.

    configuration ──► TaskSpec(template, data) ─┬─► structure ──► Program      what is compiled
                                                └─► settings, examples ──► ConfiguredData
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax

from taskset.base import Batch, Dataset, Key, NoData, Split, Task, TaskFamily


class ConfiguredTask(Task):
    """A task whose leaves are settings; `draw` adds what is random about the task itself."""

    def draw(self, key: Key) -> "ConfiguredTask":
        """The task with the arrays that a key decides. Most have none, and return themselves."""
        del key
        return self


class DataSpec(Protocol):
    """Where the examples of a task come from: a frozen dataclass, small and hashable."""

    def load(self) -> Dataset:
        """The examples on the default device; `InputError` when they are not prepared."""
        ...


@runtime_checkable
class ShardedSpec(DataSpec, Protocol):
    """One whose examples may exceed the budget of the device."""

    @property
    def num_shards(self) -> int:
        """Parts that keep to the budget."""
        ...

    def load_shard(self, index: int) -> Dataset:
        """Part `index` modulo `num_shards`."""
        ...


@dataclasses.dataclass(frozen=True)
class NoExamples:
    """The data of tasks that need none."""

    def load(self) -> Dataset:
        """`NoData()`."""
        return NoData()


class TaskSpec(NamedTuple):
    """What a configuration builds."""

    template: ConfiguredTask  # its leaves are numpy or JAX scalars
    data: DataSpec
    batch_size: int  # of minibatches, padding included; 0 without data


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ConfiguredData(Dataset):
    """The examples of a task, and its settings: all that its program takes as arguments."""

    examples: Dataset
    settings: Any  # the leaves of a template

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        return self.examples.sample(split, key, batch_size)

    def whole(self, split: Split) -> Batch:
        return self.examples.whole(split)


@dataclasses.dataclass(frozen=True)
class Program(TaskFamily):
    """The structure that configurations of a bucket share. Their data make it a family."""

    structure: Any  # the PyTreeDef of a template
    batch_size: int

    def load_data(self) -> Dataset:
        """Raises `TypeError`: a structure has no data of its own."""
        raise TypeError("a program has no data; use load_data of the family that it is for")

    def sample(self, data: Dataset, key: Key) -> Task:
        assert isinstance(data, ConfiguredData)
        template = jax.tree.unflatten(self.structure, data.settings)
        return template.draw(key)


class ConfiguredFamily(TaskFamily):
    """A family that a configuration decides; an implementation says which, by its `spec`."""

    @property
    @abc.abstractmethod
    def spec(self) -> TaskSpec:
        """The template, data and batch size of the configuration."""

    @property
    def batch_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Examples in a minibatch, padding included."""
        return self.spec.batch_size

    def load_data(self) -> ConfiguredData:
        return self._with_settings(self.spec.data.load)

    @property
    def num_shards(self) -> int:
        return self.spec.data.num_shards if isinstance(self.spec.data, ShardedSpec) else 1

    def load_shard(self, index: int) -> ConfiguredData:
        data = self.spec.data
        if not isinstance(data, ShardedSpec) or data.num_shards == 1:
            return self.load_data()
        return self._with_settings(lambda: data.load_shard(index))

    def _with_settings(self, load: Callable[[], Dataset]) -> ConfiguredData:
        settings = jax.tree.leaves(self.spec.template)
        with jax.ensure_compile_time_eval():  # cached data must not be tracers of the caller's jit
            return ConfiguredData(load(), jax.device_put(settings))

    def sample(self, data: Dataset, key: Key) -> Task:
        return self.program().sample(data, key)

    def program(self) -> Program:
        return Program(jax.tree.structure(self.spec.template), self.spec.batch_size)
