"""Gradients sent as seeds: the weight of each perturbation, in the place of all coordinates.

A message is as short as an estimate has pairs, however many meta-parameters there are; the learner
draws the perturbations again, which costs it as many random numbers as the worker drew. It pays
where the network is slow and meta-parameters are many (Salimans et al. 2017,
https://arxiv.org/abs/1703.03864, section 2.1).
"""

import dataclasses
import functools
from typing import Any

import jax

from metaopt.aggregate import WorkerResult
from metaopt.estimators import antithetic
from metaopt.estimators.base import GradientEstimator
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Key
from workers.base_config import OF_EACH_TASK
from workers.wire import Wire
from workers.worker import WorkerSpec, keys_of


def shortened(result: WorkerResult, wire: Wire) -> WorkerResult:
    """The result as it is sent."""
    estimate = result.estimate
    if wire == "seeds":
        return result._replace(estimate=estimate._replace(gradient={}))
    return result._replace(estimate=estimate._replace(pair_weights=None))


def expanded(result: WorkerResult, spec: WorkerSpec, meta_params: MetaParams) -> WorkerResult:
    """The result with its gradient; of `meta_params` only shapes and dtypes count."""
    _, key = keys_of(spec, result.outer_step, result.num_done)
    # The perturbations do not depend on the task: one program does for all.
    estimator = dataclasses.replace(spec.estimator, problem=OF_EACH_TASK)
    gradient = _gradient(estimator, key, meta_params, result.estimate.pair_weights)
    estimate = result.estimate._replace(gradient=jax.device_get(gradient), pair_weights=None)
    return result._replace(estimate=estimate)


@functools.partial(jax.jit, static_argnums=0)
def _gradient(
    estimator: GradientEstimator, key: Key, meta_params: MetaParams, pair_weights: Any
) -> MetaParams:
    return antithetic.weighted(estimator.perturbations_of(key, meta_params), pair_weights)
