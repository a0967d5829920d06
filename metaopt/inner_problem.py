"""The inner training run as a dynamical system: what every gradient estimator differentiates."""

import abc
import dataclasses
from typing import Any, Literal, NamedTuple, Self

import jax
import jax.numpy as jnp
import optax

from metaopt.corruption import Corruption
from metaopt.learned_optimizers.base import LearnedOptimizer, MetaParams
from metaopt.teacher import Teacher
from taskset.base import Dataset, Key, Params, Split, Task, TaskFamily


@dataclasses.dataclass(frozen=True)
class InnerProblem(abc.ABC):
    """A training run as a function of its outer parameters. Pure; `vmap` it for many runs."""

    @abc.abstractmethod
    def load_data(self) -> Dataset:
        """What `init`, `step` and `outer_loss` take as `data`; `NoData()` where they need none."""

    @property
    def num_shards(self) -> int:
        """Parts in which the data come to the device, one after another."""
        return 1

    def load_shard(self, index: int) -> Dataset:
        """Part `index` modulo `num_shards` of the data."""
        del index
        return self.load_data()

    @abc.abstractmethod
    def init(self, meta_params: MetaParams, data: Dataset, key: Key) -> Any:
        """The state at the start of a run, a pytree of arrays. The key decides the task."""

    @abc.abstractmethod
    def step(
        self, meta_params: MetaParams, state: Any, data: Dataset, key: Key
    ) -> tuple[Any, jax.Array]:
        """One step of inner training: the next state, and its outer loss, [] float32."""

    def advance(self, meta_params: MetaParams, state: Any, data: Dataset, key: Key) -> Any:
        """The next state alone, for objectives that do not see the loss of every step."""
        return self.step(meta_params, state, data, key)[0]

    @abc.abstractmethod
    def outer_loss(self, meta_params: MetaParams, state: Any, data: Dataset, key: Key) -> jax.Array:
        """The outer loss of `state` itself, [] float32, for objectives that see the end only."""

    def at(self, outer_step: Any) -> Self:
        """The problem as it is at `outer_step`, [] int32, which may be traced."""
        del outer_step
        return self

    def program(self) -> Self:
        """What a compiled program depends on: equal for problems that can share one.

        Its methods take the data of any of those problems; it is not to be sent or kept.
        """
        return self


@dataclasses.dataclass(frozen=True)
class FamilyTraining(InnerProblem, abc.ABC):
    """One whose runs train tasks of a family, on its data."""

    family: TaskFamily

    def load_data(self) -> Dataset:
        return self.family.load_data()

    @property
    def num_shards(self) -> int:
        return self.family.num_shards

    def load_shard(self, index: int) -> Dataset:
        return self.family.load_shard(index)

    def program(self) -> Self:
        return dataclasses.replace(self, family=self.family.program())


class InnerState(NamedTuple):
    """One inner training run, anywhere between its start and its end."""

    task: Task
    params: Params
    opt_state: Any
    late: Any = None  # gradients that have yet to arrive, the oldest first, leaves [delay, ...]
    expert: Any = None  # the state of the optimizer of the teacher


@dataclasses.dataclass(frozen=True)
class OptimizerTraining(FamilyTraining):
    """A learned optimizer training tasks of a family: the inner problem of meta-training.

    With `outer_split` "train", the outer loss of a step is the training loss that the step computes
    anyway, before its update. With "outer_valid" it is the loss after the update, on a minibatch
    of that split: one more forward pass, and an optimizer that generalises (Metz et al. 2019,
    https://arxiv.org/abs/1810.10180, section 5). Corrupted minibatches, and several of them, are
    also drawn after the update, from whichever split.

    Optimizers that ask for it see a validation loss of each step, from the split "inner_valid".
    A teacher, if there is one, has a share in the steps and in their outer losses.
    """

    optimizer: LearnedOptimizer
    outer_split: Literal["train", "outer_valid"] = "train"
    num_steps: int | None = None  # the horizon announced to the optimizer
    corruption: Corruption = Corruption()  # of the minibatches of the outer loss
    outer_batches: int = 1  # minibatches behind an outer loss, which is their mean
    teacher: Teacher = Teacher()
    outer_step: Any = 0  # [] int32, which the share of the teacher depends on

    def at(self, outer_step: Any) -> Self:
        return dataclasses.replace(self, outer_step=outer_step) if self.teacher.teaches else self

    def init(self, meta_params: MetaParams, data: Dataset, key: Key) -> InnerState:
        key_task, key_params = jax.random.split(key)
        task = self.family.sample(data, key_task)
        params = task.init(key_params)
        late, delay = None, self.family.gradient_delay
        if delay:
            late = jax.tree.map(lambda x: jnp.zeros((delay, *x.shape), x.dtype), params)
        expert = self.teacher.init(params) if self.teacher.teaches else None
        return InnerState(task, params, self._optimizer(meta_params).init(params), late, expert)

    def step(
        self, meta_params: MetaParams, state: InnerState, data: Dataset, key: Key
    ) -> tuple[InnerState, jax.Array]:
        needs_valid = "valid_value" in self.optimizer.uses
        key_batch, key_loss, key_outer, *keys_valid = jax.random.split(key, 3 + needs_valid)
        batch = data.sample("train", key_batch, self.family.batch_size)
        loss, grads = jax.value_and_grad(state.task.loss)(state.params, batch, key_loss)
        valid = {}
        if needs_valid:
            valid["valid_value"] = self._loss(state, data, "inner_valid", *keys_valid)
        late = state.late
        if late is not None:
            grads, late = _delayed(grads, late)
        updates, opt_state = self._optimizer(meta_params).update(
            grads, state.opt_state, state.params, value=loss, **valid
        )
        forced, expert, share = None, None, self.teacher.share(self.outer_step)
        if self.teacher.teaches:
            forced = self.teacher.force(grads, updates, state.expert, state.params, share)
            updates, expert = forced.updates, forced.expert_state
        params = optax.apply_updates(state.params, updates)
        state = InnerState(state.task, params, opt_state, late, expert)
        if (self.outer_split, self.corruption, self.outer_batches) != ("train", Corruption(), 1):
            loss = self.outer_loss(meta_params, state, data, key_outer)
        return state, loss if forced is None else self.teacher.loss(loss, forced, share)

    def outer_loss(
        self, meta_params: MetaParams, state: InnerState, data: Dataset, key: Key
    ) -> jax.Array:
        del meta_params

        batch_loss = lambda key: self._loss(state, data, self.outer_split, key, self.corruption)
        if self.outer_batches == 1:
            return batch_loss(key)
        return jnp.mean(jax.vmap(batch_loss)(jax.random.split(key, self.outer_batches)))

    def _loss(
        self,
        state: InnerState,
        data: Dataset,
        split: Split,
        key: Key,
        corruption: Corruption = Corruption(),
    ) -> jax.Array:
        """The loss of `state` on a minibatch of `split`, [] float32."""
        key_batch, key_loss = jax.random.split(key)
        batch = data.sample(split, key_batch, self.family.batch_size)
        batch = corruption.apply(batch, jax.random.fold_in(key_batch, 0))
        return state.task.loss(state.params, batch, key_loss)

    def _optimizer(self, meta_params: MetaParams) -> optax.GradientTransformationExtraArgs:
        return self.optimizer.as_optax(meta_params, num_steps=self.num_steps)


def _delayed(grads: Params, late: Any) -> tuple[Params, Any]:
    """The oldest of the gradients that are late, and the others with `grads` behind them."""
    oldest = jax.tree.map(lambda queue: queue[0], late)
    enqueue = lambda queue, grad: jnp.concatenate([queue[1:], grad[None]])
    return oldest, jax.tree.map(enqueue, late, grads)
