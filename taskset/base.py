"""The nouns of this package: a `Task`, the `TaskFamily` it is sampled from, and its `Dataset`."""

import abc
import dataclasses
from typing import Any, Literal, TypeAlias

import jax

from taskset.threefry import unroll_on_cpu

# Here, since everything that draws random numbers imports this module.
unroll_on_cpu()

Key: TypeAlias = jax.Array  # a typed PRNG key, []
Params: TypeAlias = Any  # pytree of arrays: what the inner optimizer changes
Batch: TypeAlias = Any  # leaves [batch_size, ...]; without examples, constants of a task or None
Split: TypeAlias = Literal["train", "inner_valid", "outer_valid", "test"]

# What each split is for (Metz et al. 2020, https://arxiv.org/abs/2009.11243, section 2.1):
#   train        gradients of the inner training
#   inner_valid  losses that a learned optimizer may see as a feature
#   outer_valid  the outer loss, when it is not taken on train
#   test         reported once
SPLITS: tuple[Split, ...] = ("train", "inner_valid", "outer_valid", "test")


class Dataset(abc.ABC):
    """Minibatches by key, from arrays on the device.

    A pytree: the arrays are leaves, so a data set enters a compiled program as an argument and
    never as a constant. There is no iterator, so nothing to lock, rewind or checkpoint.
    """

    @abc.abstractmethod
    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        """One minibatch of `split`, drawn with replacement; leaves [batch_size, ...].

        Pure and jittable; the same key gives the same batch.
        """

    @abc.abstractmethod
    def whole(self, split: Split) -> Batch:
        """All examples of `split` as one batch, leaves [num_examples, ...]; for evaluation."""


class Task(abc.ABC):
    """One optimization problem.

    A task is a pytree (see `jax.tree_util.register_dataclass`): what was sampled is a leaf, what
    is fixed is a static field. So `vmap` over tasks is `vmap` over a `Task`.
    """

    @abc.abstractmethod
    def init(self, key: Key) -> Params:
        """Draws the starting point of the inner optimization."""

    @abc.abstractmethod
    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        """The loss to minimise, [] float32. `key` is for losses that are random themselves."""


class TaskFamily(abc.ABC):
    """A distribution over tasks that share shapes.

    An implementation is a frozen dataclass of plain values: hashable, and small to send.
    """

    batch_size: int  # examples in a minibatch of inner training; 0 for a family without data
    gradient_delay: int = 0  # inner steps by which gradients reach the optimizer late

    @abc.abstractmethod
    def load_data(self) -> Dataset:
        """The data of every task of the family, on the default device.

        Raises `InputError` when the data set has to be downloaded first.
        """

    @property
    def num_shards(self) -> int:
        """Parts in which the data come to the device, 1 unless they exceed its budget."""
        return 1

    def load_shard(self, index: int) -> Dataset:
        """Part `index` modulo `num_shards` of the data, of the same shapes as every other.

        Whoever trains for long takes the next part between truncations.
        """
        del index
        return self.load_data()

    @abc.abstractmethod
    def sample(self, data: Dataset, key: Key) -> Task:
        """Draws a task, given what `load_data` returned. Pure and jittable.

        The same key gives the same task.
        """

    def program(self) -> "TaskFamily":
        """What a compiled program depends on: equal for families that can share one.

        Its `sample` takes the data of any of those families; it is not to be sent or kept.
        """
        return self


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class NoData(Dataset):
    """The data set of tasks that need none: every batch is None."""

    def sample(self, split: Split, key: Key, batch_size: int) -> Batch:
        del split, key, batch_size
        return None

    def whole(self, split: Split) -> Batch:
        del split
        return None
