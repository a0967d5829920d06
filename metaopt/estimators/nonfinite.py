"""Where a run that tunes hyper-parameters stopped being finite, and for which of them.

It is computed only after an estimate that had such runs, and costs about another one.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metaopt.estimators.base import Context, GradientEstimator
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.whole_runs import DifferentiatedRuns, RunKeys
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.inner_problem import InnerProblem
from metaopt.learned_optimizers.base import MetaParams
from metaopt.real_leaves import real_leaves
from taskset.base import Dataset, Key

LONGEST = 2000  # inner steps that a run is followed for, where runs go on between estimates
WAY_OUT = (
    "; start from smaller rates, lower the outer learning rate, narrow the domains of the "
    "hyper-parameters, or use an evolution strategy"
)


class Found(NamedTuple):
    """Of each run that was looked at."""

    steps: jax.Array  # [num_runs] int32, after which the state was not finite first; -1: it was
    outer_loss: jax.Array  # [num_runs] bool, whether that of its end is finite
    gradients: dict[str, jax.Array]  # [num_runs] bool by hyper-parameter; none where unknown


def explain(
    estimator: GradientEstimator,
    meta_params: MetaParams,
    data: Dataset,
    key: Key,
    context: Context = Context(),
) -> str:
    """What was not finite in the estimate of these arguments, in words, with the way out.

    Of estimators that differentiate whole runs, it is said of those runs; of others, of a new run
    at `meta_params`. Empty where no hyper-parameters are tuned.
    """
    problem = estimator.problem
    if not isinstance(problem, HyperparameterTraining):
        return ""
    values = problem.values(meta_params)
    if wrong := [name for name, value in values.items() if not np.all(np.isfinite(value))]:
        return f"hyper-parameters that are not finite: {_listed(wrong)}{WAY_OUT}"
    found = jax.device_get(_look(estimator, meta_params, data, key, context))
    return _in_words(found, isinstance(estimator, DifferentiatedRuns))


@functools.partial(jax.jit, static_argnums=0)
def _look(
    estimator: GradientEstimator,
    meta_params: MetaParams,
    data: Dataset,
    key: Key,
    context: Context,
) -> Found:
    problem = estimator.problem.at(context.outer_step)
    if not isinstance(estimator, DifferentiatedRuns):
        _, longest = getattr(estimator, "horizon", Fixed()).bounds()
        keys = RunKeys.split(key, min(longest, LONGEST))
        steps, loss = _follow(problem, meta_params, data, keys)
        return Found(steps[None], loss[None], {})

    def one_run(key: Key) -> Found:
        keys = RunKeys.split(key, estimator.inner_steps // estimator.num_tasks)
        steps, loss = _follow(problem, meta_params, data, keys)
        gradient = estimator.differentiate(meta_params, data, keys, context).gradient
        finite = {name: jnp.all(jnp.isfinite(x)) for name, x in gradient.items()}
        return Found(steps, loss, finite)

    return jax.vmap(one_run)(split_over_tasks(key, estimator.num_tasks))


def _follow(
    problem: InnerProblem, meta_params: MetaParams, data: Dataset, keys: RunKeys
) -> tuple[jax.Array, jax.Array]:
    """The step of `Found`, and whether the outer loss of the end is finite."""

    def step(carry: tuple[Any, jax.Array], inputs: tuple[jax.Array, Key]):
        state, first = carry
        index, key = inputs
        state = problem.advance(meta_params, state, data, key)
        return (state, _first(first, state, index)), None

    start = problem.init(meta_params, data, keys.init)
    begun = start, _first(jnp.asarray(-1, jnp.int32), start, jnp.asarray(0, jnp.int32))
    steps = jnp.arange(1, len(keys.steps) + 1, dtype=jnp.int32)
    (end, first), _ = jax.lax.scan(step, begun, (steps, keys.steps))
    return first, jnp.isfinite(problem.outer_loss(meta_params, end, data, keys.final))


def _first(first: jax.Array, state: Any, index: jax.Array) -> jax.Array:
    finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in real_leaves(state)]))
    return jnp.where((first < 0) & ~finite, index, first)


def _in_words(found: Found, same_runs: bool) -> str:
    num_runs = len(found.steps)
    wrong = (found.steps >= 0) | ~found.outer_loss
    for finite in found.gradients.values():
        wrong = wrong | ~finite
    if not np.any(wrong):
        return "" if same_runs else "a new run at these hyper-parameters is finite"
    steps = sorted({int(step) for step in found.steps if step >= 0})
    if steps:
        at = "at its start" if steps[0] == 0 else f"after inner step {steps[0]}"
        what = f"the parameters are not finite {at}"
    elif not np.all(found.outer_loss):
        what = "the parameters are finite, and the outer loss of the end is not"
    else:
        what = "the runs are finite, and their derivatives are not"
    subject = f"{np.sum(wrong)} of {num_runs} runs" if same_runs else "a new run"
    names = [name for name, finite in found.gradients.items() if not np.all(finite)]
    tail = f"; hyper-gradients that are not finite: {_listed(names)}" if names else ""
    return f"{subject}: {what}{tail}{WAY_OUT}"


def _listed(names: list[str]) -> str:
    return ", ".join(names)
