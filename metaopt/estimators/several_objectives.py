"""Hyper-parameters that follow different outer losses: rates that of training, penalties another.

Franceschi et al. 2017 (https://arxiv.org/abs/1703.01785) tune groups of hyper-parameters so, each
by the gradient of its own objective alone.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp

from metaopt.estimators.base import Context, Estimate, GradientEstimator
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key
from taskset.errors import InputError


class Objective(NamedTuple):
    """What some of the hyper-parameters follow."""

    names: tuple[str, ...]
    estimator: GradientEstimator  # its problem has the outer loss


@dataclasses.dataclass(frozen=True)
class SeveralObjectives(GradientEstimator):
    """Of each hyper-parameter, the gradient by the estimator of the objective that names it.

    The problems of the objectives are `problem` but for their outer losses, and with the same key
    have the same runs. The meta-loss is that of the first objective, and "meta_loss_1" and so on in
    `metrics` are sums over runs of the others. Norms are those of whole gradients, so that the
    noise is an upper bound. The weight is that of the objective with the fewest usable runs.

    Raises `InputError` for a number of tasks that is not that of all, and `estimate` unless each
    hyper-parameter is named once.
    """

    objectives: tuple[Objective, ...] = ()

    def __post_init__(self) -> None:
        if not self.objectives:
            raise InputError("objectives is empty; give at least one")
        for objective in self.objectives:
            if objective.estimator.num_tasks != self.num_tasks:
                raise InputError(
                    f"num_tasks is {self.num_tasks}, and that of the objective of "
                    f"{', '.join(objective.names)} {objective.estimator.num_tasks}; make them equal"
                )

    @property
    def inner_steps(self) -> int:
        return sum(objective.estimator.inner_steps for objective in self.objectives)

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> Any:
        return tuple(o.estimator.init(meta_params, data, key, context) for o in self.objectives)

    def estimate(
        self,
        meta_params: MetaParams,
        state: Any,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, Any]:
        self._check_names(meta_params)
        pairs = [
            objective.estimator.estimate(meta_params, of_objective, data, key, context)
            for objective, of_objective in zip(self.objectives, state, strict=True)
        ]
        estimates = [estimate for estimate, _ in pairs]
        gradient = {
            name: estimate.gradient[name]
            for objective, estimate in zip(self.objectives, estimates, strict=True)
            for name in objective.names
        }
        first, *others = estimates
        weight = jnp.min(jnp.stack([jnp.asarray(estimate.weight) for estimate in estimates]))
        shared = set.intersection(*(set(estimate.metrics) for estimate in estimates))
        of_all = lambda name: jnp.stack([estimate.metrics[name] for estimate in estimates])
        metrics = {name: jnp.max(of_all(name)) for name in sorted(shared)}
        for index, estimate in enumerate(others, 1):
            metrics[f"meta_loss_{index}"] = jnp.asarray(estimate.weight * estimate.meta_loss)
        ordered = {name: gradient[name] for name in meta_params}
        combined = Estimate(ordered, first.meta_loss, weight, metrics)
        return combined, tuple(after for _, after in pairs)

    def _check_names(self, meta_params: MetaParams) -> None:
        named = [name for objective in self.objectives for name in objective.names]
        for name in {*named, *meta_params}:
            if named.count(name) != 1 or name not in meta_params:
                raise InputError(
                    f"objectives name {name!r} {named.count(name)} times; each hyper-parameter, "
                    f"of {', '.join(meta_params)}, has to be named once"
                )
