"""Tuning and training, the same for all recipes of this folder."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metaopt.estimators import GradientEstimator
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.learned_optimizers import MetaParams
from metaopt.learner import Learner, OuterStep, meta_train
from metaopt.outer_optimizer import OuterOptimizer
from taskset.base import Dataset, Key, Params
from workers.local import InProcessPool
from workers.worker import WorkerSpec


def problem_of(estimator: GradientEstimator) -> HyperparameterTraining:
    """Its problem, which in these recipes always is of hyper-parameters."""
    assert isinstance(estimator.problem, HyperparameterTraining)
    return estimator.problem


def tuned(
    estimator: GradientEstimator,
    optimizer: OuterOptimizer,
    num_steps: int,
    on_step: Callable[[OuterStep, InProcessPool], None] = lambda step, pool: None,
    seed: int = 0,
) -> MetaParams:
    """The meta-parameters after `num_steps` outer steps, by one worker in this process."""
    problem = problem_of(estimator)
    pool = InProcessPool([WorkerSpec(0, "task", estimator, seed)])
    learner = Learner(optimizer, num_steps)
    start = learner.init(problem.start(problem.load_data(), jax.random.key(seed)))
    watch = lambda step: on_step(step, pool)
    return meta_train(learner, start, pool, project=problem.project, on_step=watch).meta_params


def trained(
    problem: HyperparameterTraining,
    meta_params: MetaParams,
    num_steps: int,
    seed: int = 1000,
    data: Dataset | None = None,
) -> Params:
    """The parameters at the end of a run at these hyper-parameters, on other data if given."""
    data = problem.load_data() if data is None else data
    return _trained(problem, num_steps, meta_params, data, jax.random.key(seed))


@jax.jit(static_argnums=(0, 1))
def _trained(
    problem: HyperparameterTraining, num_steps: int, meta_params: Any, data: Any, key: Key
) -> Any:
    key_start, key_steps = jax.random.split(key)
    keys = jax.random.split(key_steps, num_steps)

    def step(index: jax.Array, state: Any) -> Any:
        return problem.advance(meta_params, state, data, keys[index])

    start = problem.init(meta_params, data, key_start)
    return jax.lax.fori_loop(0, num_steps, step, start).params


def params_in(pool: InProcessPool, like: Params) -> Params:
    """The parameters of the one run that goes on in `pool`, which have the structure of `like`."""
    state, structure = pool.snapshot()[0], jax.tree.structure(like)
    leaves = [jnp.asarray(x[0]) for path, x in state.items() if "/params/" in path]
    return jax.tree.unflatten(structure, leaves)
