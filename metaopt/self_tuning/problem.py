"""Training a self-tuning network: an inner problem whose state knows how it would respond.

MacKay et al. 2019 (https://arxiv.org/abs/1903.03088); the centred form is that of Bae and Grosse
2020 (https://arxiv.org/abs/2010.13514). One run is all there is: its network trains at perturbed
hyper-parameters, and the outer loss, also perturbed, is differentiated through the response alone.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from metaopt import hyperparameters
from metaopt.attachment import is_detached
from metaopt.domains import AtLeast, Domain, Whole
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter
from metaopt.inner_problem import InnerState
from metaopt.learned_optimizers.base import MetaParams
from metaopt.self_tuning import perturbations, responses
from metaopt.self_tuning.responses import BestResponse, Responsive
from taskset.base import Batch, Dataset, Key, Params, Task
from taskset.errors import InputError

# The loss of examples at the values of perturbed hyper-parameters, and at their position.
PerturbedLoss = Callable[[Values, jax.Array, Batch, Key], jax.Array]


@dataclasses.dataclass(frozen=True)
class RespondingTraining(Training, abc.ABC):
    """One whose network responds by itself, of `layers` or by `flax_modules`.

    Its `init` returns a `BestResponse`, and its losses get a `Responsive` as `params`.
    """


@dataclasses.dataclass(frozen=True)
class PredictingTraining(Training, abc.ABC):
    """One whose inner loss is a criterion of predictions, which a centred response linearises."""

    @abc.abstractmethod
    def predictions(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        """What the network says of `batch`."""

    @abc.abstractmethod
    def criterion(
        self, values: Values, task: Task, params: Params, predictions: jax.Array, batch: Batch
    ) -> jax.Array:
        """The inner loss of `predictions`, [], penalties included."""

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        predictions = self.predictions(values, task, params, batch, key)
        return self.criterion(values, task, params, predictions, batch)


@dataclasses.dataclass(frozen=True)
class SelfTuning(HyperparameterTraining):
    """A network that learns its response to the hyper-parameters of any `training`.

    To be estimated by `DirectGradient`. The parameters of a run are a `BestResponse`: of each
    tensor, unless it is a `RespondingTraining`. The scales of the perturbations are outer
    parameters, too, "scale_of_NAME".

    Centred, the response is to the distance from the present hyper-parameters: elementary weights
    train without perturbations, and responses, of a `PredictingTraining`, on predictions that are
    linear in them.

    Raises `InputError` for hyper-parameters in a domain that has edges, and for a scale out of
    range.
    """

    inner_batch: Literal["sampled", "whole"] = "sampled"
    outer_batch: Literal["sampled", "whole"] = "sampled"
    scale: float = 0.5  # standard deviation of the perturbations of free numbers, at the start
    tune_scales: bool = True
    entropy_weight: float = 1e-3  # of the entropy of the perturbations, in the outer loss
    centred: bool = False
    groups: int = 0  # parts of a minibatch, each with perturbations of its own; 0: every example
    shared: tuple[str, ...] = ()  # hyper-parameters that no example may have for itself

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.scale < np.inf:
            raise InputError(f"scale is {self.scale}; it must be positive and finite")
        if self.groups < 0:
            raise InputError(f"groups is {self.groups}; it must be at least 1, or 0 for examples")
        tuned = self.training.hyperparameters()
        for name in self.shared:
            if name not in tuned:
                raise InputError(f"shared has {name!r}; hyper-parameters are {', '.join(tuned)}")
        for name, hyperparameter in tuned.items():
            if type(hyperparameter.domain).project is not Domain.project:
                raise InputError(
                    f"hyper-parameter {name!r} is in {hyperparameter.domain}, whose edges "
                    "perturbations would cross; use Between"
                )

    @property
    def num_hyperparameters(self) -> int:
        """The length of a position: elements of the hyper-parameters, scales apart."""
        return sum(int(np.prod(h.shape)) for h in self.training.hyperparameters().values())

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        tuned = self.training.hyperparameters()
        if not self.tune_scales:
            return tuned
        scale = lambda h: Hyperparameter(self.scale, AtLeast(0.0), h.shape)
        return {**tuned, **{_scale_of(name): scale(h) for name, h in tuned.items()}}

    def start(self, data: Dataset, key: Key) -> MetaParams:
        """The meta-parameters to start from.

        Raises `InputError` for a hyper-parameter that the inner loss does not depend on: the
        response to it is none, so nothing could tune it. Of a discrete one nobody knows. And for a
        minibatch that cannot be divided into `groups`.
        """
        meta_params = hyperparameters.start(self.hyperparameters(), key)
        tuned = self.training.hyperparameters()
        state = self.init(meta_params, data, key)
        batch = self._batch(data, "train", self.inner_batch, key)
        self._num_parts(batch)  # raises where there are none
        at_start = self._params_at(state.params, self._position(meta_params, meta_params))

        def inner_loss(free: MetaParams) -> jax.Array:
            values = hyperparameters.values(tuned, free)
            return self.training.inner_loss(values, state.task, at_start, batch, key)

        free = {name: meta_params[name] for name in tuned}
        for name, hyperparameter in tuned.items():
            if not isinstance(hyperparameter.domain, Whole) and is_detached(inner_loss, free, name):
                raise InputError(
                    f"hyper-parameter {name!r} does not enter the inner loss, and a network "
                    "responds to nothing else; tune it with FullBackprop or ForwardMode"
                )
        return meta_params

    def init(self, meta_params: MetaParams, data: Dataset, key: Key) -> InnerState:
        key_task, key_params, key_other, key_gates = jax.random.split(key, 4)
        task = self.family.sample(data, key_task)
        draw = lambda key: self.training.init(self.values(meta_params), task, key)
        params = draw(key_params)
        if not isinstance(self.training, RespondingTraining):
            other, num = draw(key_other), self.num_hyperparameters
            params = responses.of_tensors(params, other, key_gates, num, self.centred)
        return InnerState(task, params, self.dynamics(meta_params).init(params))

    def params(self, meta_params: MetaParams, state: InnerState) -> Params:
        """The parameters of the network at these hyper-parameters: what losses get."""
        return self._params_at(state.params, self._position(meta_params, meta_params))

    def inner_loss(
        self, meta_params: MetaParams, task: Task, params: BestResponse, data: Dataset, key: Key
    ) -> jax.Array:
        key_batch, key_loss, _ = jax.random.split(key, 3)
        batch = self._batch(data, "train", self.inner_batch, key_batch)

        def loss(values: Values, position: jax.Array, batch: Batch, key: Key) -> jax.Array:
            at = self._params_at(params, position)
            return self.training.inner_loss(values, task, at, batch, key)

        if not self.centred:
            return self._perturbed(loss, meta_params, batch, key_loss)
        here = self._params_at(params, self._position(meta_params, meta_params))
        plain = self.training.inner_loss(self.values(meta_params), task, here, batch, key_loss)
        constant = params._replace(elementary=jax.lax.stop_gradient(params.elementary))
        of_response = lambda *inputs: self._linearised(task, constant, *inputs)
        return plain + self._perturbed(of_response, meta_params, batch, key_loss)

    def outer_loss(
        self, meta_params: MetaParams, state: InnerState, data: Dataset, key: Key
    ) -> jax.Array:
        key_batch, key_loss = jax.random.split(key)
        batch = self._batch(data, self.outer_split, self.outer_batch, key_batch)

        def loss(values: Values, position: jax.Array, batch: Batch, key: Key) -> jax.Array:
            at = self._params_at(state.params, position)
            return self.training.outer_loss(values, state.task, at, batch, key)

        perturbed = self._perturbed(loss, meta_params, batch, key_loss)
        if not self.tune_scales:
            return perturbed
        return perturbed - self.entropy_weight * perturbations.entropy(self._scales(meta_params))

    def _linearised(
        self,
        task: Task,
        params: BestResponse,
        values: Values,
        position: jax.Array,
        batch: Batch,
        key: Key,
    ) -> jax.Array:
        """The inner loss of predictions that are linear in the response, where there are any."""
        training, at = self.training, self._params_at(params, position)
        if not isinstance(training, PredictingTraining):
            return training.inner_loss(values, task, at, batch, key)

        def predictions(position: jax.Array) -> jax.Array:
            return training.predictions(values, task, self._params_at(params, position), batch, key)

        at_zero, change = jax.jvp(predictions, (jnp.zeros_like(position),), (position,))
        return training.criterion(values, task, at, at_zero + change, batch)

    def _perturbed(
        self, loss: PerturbedLoss, meta_params: MetaParams, batch: Batch, key: Key
    ) -> jax.Array:
        """The mean of `loss` over parts of `batch`, each at perturbed hyper-parameters."""
        key_shared, key_parts = jax.random.split(key)
        tuned = self.training.hyperparameters()
        centre, scales = {name: meta_params[name] for name in tuned}, self._scales(meta_params)

        def of_part(part: Batch, key: Key) -> jax.Array:
            key_noise, key_loss = jax.random.split(key)
            free = perturbations.perturb(centre, scales, key_noise, key_shared, self.shared)
            values = hyperparameters.values(tuned, free)
            return loss(values, self._position(free, centre), part, key_loss)

        num = self._num_parts(batch)
        axis = None
        if self.family.batch_size:
            split = lambda x: x.reshape(num, len(x) // num, *x.shape[1:])
            batch, axis = jax.tree.map(split, batch), 0
        keys = jax.random.split(key_parts, num)
        return jnp.mean(jax.vmap(of_part, (axis, 0))(batch, keys))

    def _num_parts(self, batch: Batch) -> int:
        if not self.family.batch_size:
            return max(1, self.groups)
        num_examples = len(jax.tree.leaves(batch)[0])
        num = self.groups or num_examples
        if num_examples % num:
            raise InputError(
                f"groups is {num}, and a batch has {num_examples} examples; use a divisor, or 0"
            )
        return num

    def _params_at(self, params: BestResponse, position: jax.Array) -> Any:
        if isinstance(self.training, RespondingTraining):
            return Responsive(params.elementary, params.response, position)
        return responses.tensors_at(params, position)

    def _position(self, free: Mapping[str, jax.Array], centre: Mapping[str, jax.Array]):
        """[num_hyperparameters]; its derivative by `free` is that of the hyper-parameters."""
        names = tuple(self.training.hyperparameters())
        flat = lambda arrays: ravel_pytree([arrays[name] for name in names])[0]
        return flat(free) - jax.lax.stop_gradient(flat(centre)) if self.centred else flat(free)

    def _scales(self, meta_params: MetaParams) -> Mapping[str, jax.Array]:
        tuned = self.training.hyperparameters()
        if not self.tune_scales:
            return {name: jnp.full_like(meta_params[name], self.scale) for name in tuned}
        values = self.values(meta_params)
        return {name: cast(jax.Array, values[_scale_of(name)]) for name in tuned}


def _scale_of(name: str) -> str:
    return f"scale_of_{name}"
