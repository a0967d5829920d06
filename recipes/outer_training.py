"""Meta-training in one compiled program, for recipes that compare settings of it over seeds."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metaopt import comparison
from metaopt.estimators import Estimate, GradientEstimator
from metaopt.learned_optimizers import MetaParams
from taskset.base import Key


class Trained(NamedTuple):
    """What came of meta-training."""

    meta_params: MetaParams
    # [num_steps] float32, the mean meta-loss of the estimates; NaN where no run of one was usable
    losses: jax.Array


def adam(rate: jax.Array) -> optax.GradientTransformation:
    """Adam on gradients that are clipped to 0.1 per coordinate (arXiv:2009.11243)."""
    return optax.chain(optax.clip(0.1), optax.adam(rate))


def train(
    estimators: Sequence[GradientEstimator],
    start: MetaParams,
    seed: int,
    num_steps: int,
    setting: Any = 3e-3,
    outer: Callable[[Any], optax.GradientTransformation] = adam,
) -> Trained:
    """Follows the mean of the estimates from `start` with the optimizer `outer(setting)`.

    Compiled once for estimators of the same program, the same `outer` and number of steps.
    """
    data = tuple(estimator.problem.load_data() for estimator in estimators)
    programs = tuple(
        dataclasses.replace(estimator, problem=estimator.problem.program())
        for estimator in estimators
    )
    setting = jax.tree.map(jnp.asarray, setting)
    return _train(programs, outer, num_steps, data, setting, start, jax.random.key(seed))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _train(
    estimators: tuple[GradientEstimator, ...],
    outer: Callable[[Any], optax.GradientTransformation],
    num_steps: int,
    data: Any,
    setting: Any,
    start: MetaParams,
    key: Key,
) -> Trained:
    optimizer = optax.with_extra_args_support(outer(setting))
    key_init, key_steps = jax.random.split(key)

    def outer_step(carry: Any, key: Key):
        meta_params, opt_state, states = carry
        keys = jax.random.split(key, len(estimators))
        found = [
            estimator.estimate(meta_params, state, arrays, each)
            for estimator, state, arrays, each in zip(estimators, states, data, keys, strict=True)
        ]
        mean = lambda *values: jnp.mean(jnp.stack(values), axis=0)
        gradient = jax.tree.map(mean, *[estimate.gradient for estimate, _ in found])
        loss = mean(*[_loss_of(estimate) for estimate, _ in found])
        updates, opt_state = optimizer.update(gradient, opt_state, meta_params, value=loss)
        meta_params = optax.apply_updates(meta_params, updates)
        return (meta_params, opt_state, [state for _, state in found]), loss

    keys = jax.random.split(key_init, len(estimators))
    states = [
        estimator.init(start, arrays, each)
        for estimator, arrays, each in zip(estimators, data, keys, strict=True)
    ]
    carry = (start, optimizer.init(start), states)
    (meta_params, _, _), losses = jax.lax.scan(
        outer_step, carry, jax.random.split(key_steps, num_steps)
    )
    return Trained(meta_params, losses)


def _loss_of(estimate: Estimate) -> jax.Array:
    return jnp.where(estimate.weight > 0, estimate.meta_loss, jnp.nan)


def with_interval(values: Any) -> str:
    """The mean of `values`, a number for each seed or run, and its 95 % interval."""
    values = np.asarray(values, np.float64).reshape(-1)
    low, high = comparison.mean_interval(values)
    return f"{np.mean(values):.3g} ({low:.3g} to {high:.3g})"
