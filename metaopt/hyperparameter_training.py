"""A training run as a function of its hyper-parameters: the inner problem of tuning them."""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias

import jax
import optax

from metaopt import hyperparameters
from metaopt.attachment import is_detached
from metaopt.hyperparameters import Hyperparameter
from metaopt.inner_problem import FamilyTraining, InnerState
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Batch, Dataset, Key, Params, Split, Task
from taskset.errors import InputError

Values: TypeAlias = Mapping[str, jax.Array]  # hyper-parameters by name


class Dynamics(Protocol):
    """What an optax transformation is, or one of `metaopt.dynamics`."""

    @property
    def init(self) -> Callable[..., Any]: ...

    @property
    def update(self) -> Callable[..., Any]: ...


@dataclasses.dataclass(frozen=True)
class Training(abc.ABC):
    """Where the hyper-parameters enter: the start, the inner loss, the dynamics, the outer loss.

    A frozen configuration of plain values. `values` has an array for each of `hyperparameters`.
    """

    @abc.abstractmethod
    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """What is tuned, by name."""

    @abc.abstractmethod
    def dynamics(self, values: Values) -> Dynamics:
        """The inner optimizer: of `metaopt.dynamics`, of optax, or a learned one."""

    def init(self, values: Values, task: Task, key: Key) -> Params:
        """The parameters that a run starts from."""
        del values
        return task.init(key)

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        """What the inner optimizer descends, []."""
        del values
        return task.loss(params, batch, key)

    def outer_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        """What the hyper-parameters are to lower, []. They may enter it directly, too."""
        del values
        return task.loss(params, batch, key)


@dataclasses.dataclass(frozen=True)
class HyperparameterTraining(FamilyTraining):
    """A family's tasks trained as `training` says; the outer loss is on other data.

    Raises `InputError` for a family whose gradients come late.
    """

    training: Training
    inner_batch: Literal["sampled", "whole"] = "sampled"  # a minibatch of train, or all of it
    outer_batch: Literal["sampled", "whole"] = "whole"
    outer_split: Split = "outer_valid"

    def __post_init__(self) -> None:
        if self.family.gradient_delay:
            raise InputError(
                f"gradients of the family come {self.family.gradient_delay} steps late; "
                "hyper-parameters are tuned on families without delay"
            )

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        """What the outer parameters are, by name."""
        return self.training.hyperparameters()

    def start(self, data: Dataset, key: Key) -> MetaParams:
        """The meta-parameters to start from.

        Raises `InputError` when there are none, or when one of them has no way to the outer loss:
        its derivative is zero by the structure of the program, whatever the numbers.
        """
        meta_params = hyperparameters.start(self.hyperparameters(), key)

        def outer_loss(meta_params: MetaParams) -> jax.Array:
            state = self.init(meta_params, data, key)
            for _ in range(2):  # a momentum's decay shows in the second
                state = self.advance(meta_params, state, data, key)
            return self.outer_loss(meta_params, state, data, key)

        for name in meta_params:
            if is_detached(outer_loss, meta_params, name):
                raise InputError(
                    f"hyper-parameter {name!r} does not reach the outer loss: no derivative leads "
                    "from it to there; use it in init, inner_loss, dynamics or outer_loss, outside "
                    "of stop_gradient and integers, or tune it with an evolution strategy"
                )
        return meta_params

    def values(self, meta_params: MetaParams) -> Values:
        """The hyper-parameters that `meta_params` stand for, by name."""
        return hyperparameters.values(self.hyperparameters(), meta_params)

    def project(self, meta_params: MetaParams) -> MetaParams:
        """`meta_params` with what an outer step carried out of its domain put back."""
        return hyperparameters.project(self.hyperparameters(), meta_params)

    def dynamics(self, meta_params: MetaParams) -> Dynamics:
        """The inner optimizer at these meta-parameters."""
        return self.training.dynamics(self.values(meta_params))

    def init(self, meta_params: MetaParams, data: Dataset, key: Key) -> InnerState:
        key_task, key_params = jax.random.split(key)
        task = self.family.sample(data, key_task)
        params = self.training.init(self.values(meta_params), task, key_params)
        return InnerState(task, params, self.dynamics(meta_params).init(params))

    def inner_loss(
        self, meta_params: MetaParams, task: Task, params: Params, data: Dataset, key: Key
    ) -> jax.Array:
        """The loss that the step of `key` descends, []: of the minibatch which that key draws."""
        key_batch, key_loss, _ = jax.random.split(key, 3)
        batch = self._batch(data, "train", self.inner_batch, key_batch)
        return self.training.inner_loss(self.values(meta_params), task, params, batch, key_loss)

    def advance(
        self,
        meta_params: MetaParams,
        state: InnerState,
        data: Dataset,
        key: Key,
    ) -> InnerState:
        loss_of = lambda params: self.inner_loss(meta_params, state.task, params, data, key)
        loss, gradients = jax.value_and_grad(loss_of)(state.params)
        # What optax transformations do not look at, they may not take either.
        transformation = optax.with_extra_args_support(self.dynamics(meta_params))  # pyright: ignore[reportArgumentType]
        updates, opt_state = transformation.update(
            gradients, state.opt_state, state.params, value=loss
        )
        return InnerState(state.task, optax.apply_updates(state.params, updates), opt_state)

    def step(
        self, meta_params: MetaParams, state: InnerState, data: Dataset, key: Key
    ) -> tuple[InnerState, jax.Array]:
        state = self.advance(meta_params, state, data, key)
        _, _, key_outer = jax.random.split(key, 3)
        return state, self.outer_loss(meta_params, state, data, key_outer)

    def outer_loss(
        self, meta_params: MetaParams, state: InnerState, data: Dataset, key: Key
    ) -> jax.Array:
        key_batch, key_loss = jax.random.split(key)
        batch = self._batch(data, self.outer_split, self.outer_batch, key_batch)
        values = self.values(meta_params)
        return self.training.outer_loss(values, state.task, state.params, batch, key_loss)

    def _batch(self, data: Dataset, split: Split, which: str, key: Key) -> Batch:
        if which == "whole":
            return data.whole(split)
        return data.sample(split, key, self.family.batch_size)
