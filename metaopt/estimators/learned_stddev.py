"""Evolution strategies that learn how far to look: a standard deviation for every tensor.

Of a loss L at p + s z, with z normal, the smoothed objective E L has a derivative by log s, too:
E L (|z|^2 - n) for the n numbers of a tensor. Its natural gradient moves the deviations (Wierstra
et al. 2014, "Natural evolution strategies", https://arxiv.org/abs/1106.4487, section 3; with
antithetic pairs Sehnke et al. 2010, https://doi.org/10.1016/j.neunet.2009.12.004). They grow where
looking further finds lower losses, as before a ridge, and shrink in a valley.

The outer gradient is that of `TruncatedES` at the present deviations; with truncations as long as
the runs it has no bias.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from metaopt.estimators import antithetic, runs
from metaopt.estimators.antithetic import PairLoss
from metaopt.estimators.base import Context, Estimate, mean_of_runs, mean_over, variance_over
from metaopt.estimators.common_start import CommonStartEstimator
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key
from taskset.errors import InputError


class WithStddev(NamedTuple):
    """Inner states of the runs, and the deviations, which are the same for all runs."""

    state: Any  # leaves [num_tasks, ...]
    log_stddev: MetaParams  # of every tensor of the meta-parameters, [num_tasks] float32


@dataclasses.dataclass(frozen=True)
class LearnedStddevES(CommonStartEstimator):
    """Antithetic ES on one truncation at a time, with deviations that start at `stddev`.

    In a step, a logarithm of a deviation moves by `stddev_rate` times a number that is about
    num_tasks^-1/2 where losses say nothing of it; one pair alone moves none. Each worker has
    deviations of its own; the state is a `runs.Run` of `WithStddev`. The metric "stddev" is their
    mean, as often as there are runs.
    """

    stddev_rate: float = 0.1
    min_stddev: float = 1e-4
    max_stddev: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.min_stddev <= self.stddev <= self.max_stddev < math.inf:
            raise InputError(
                f"stddev is {self.stddev}; it must be from min_stddev, {self.min_stddev}, above 0, "
                f"to max_stddev, {self.max_stddev}"
            )
        if not 0 <= self.stddev_rate < math.inf:
            raise InputError(f"stddev_rate is {self.stddev_rate}; it must be at least 0 and finite")

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> runs.Run:
        run = super().init(meta_params, data, key, context)
        start = jnp.full((self.num_tasks,), math.log(self.stddev), jnp.float32)
        return run._replace(state=WithStddev(run.state, jax.tree.map(lambda _: start, meta_params)))

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        # One deviation for all, however the runs are divided among devices.
        log_stddev = jax.tree.map(jnp.mean, state.state.log_stddev)
        stddev = jax.tree.map(lambda log, x: jnp.exp(log).astype(x.dtype), log_stddev, meta_params)
        keys_start, keys_noise, keys_unroll = antithetic.keys_of_tasks(key, self.num_tasks)
        unit = antithetic.draw(keys_noise, meta_params, 1.0, self.perturbations)
        noise = jax.tree.map(jnp.multiply, unit, stddev)
        run = state._replace(state=state.state.state)
        keys = (keys_start, keys_unroll)
        run, losses = self._pairs(meta_params, noise, run, data, keys, context)
        by_unit = antithetic.gradients(unit, losses, 1.0, self.normalization)
        gradients = jax.tree.map(jnp.divide, by_unit, stddev)
        estimate = mean_of_runs(gradients, losses.mean, losses.usable)
        mean = jnp.mean(jnp.stack(jax.tree.leaves(jax.tree.map(jnp.exp, log_stddev))))
        metrics = estimate.metrics | {"stddev": jnp.asarray(estimate.weight * mean)}
        estimate = estimate._replace(metrics=metrics)
        moved = self._moved(log_stddev, unit, losses)
        of_tasks = jax.tree.map(lambda x: jnp.broadcast_to(x, (self.num_tasks,)), moved)
        return estimate, run._replace(state=WithStddev(run.state, of_tasks))

    def _moved(self, log_stddev: MetaParams, unit: MetaParams, losses: PairLoss) -> MetaParams:
        """The logarithms, [] each, after a natural step in units of the deviation of the losses."""
        variance = variance_over(losses.usable, losses.objective)
        inverse_deviation = jnp.where(variance > 0, jax.lax.rsqrt(variance), 0.0)
        low, high = math.log(self.min_stddev), math.log(self.max_stddev)

        def moved(log: jax.Array, gradient: jax.Array, z: jax.Array) -> jax.Array:
            information = 2.0 * z[0].size  # of the logarithm of a deviation
            step = self.stddev_rate * gradient * inverse_deviation / math.sqrt(information)
            return jnp.clip(log - step, low, high)

        return jax.tree.map(moved, log_stddev, log_stddev_gradient(unit, losses), unit)


def log_stddev_gradient(unit: MetaParams, losses: PairLoss) -> MetaParams:
    """The derivative of the smoothed objective by the logarithm of each deviation, [] float32.

    `unit` are perturbations over their deviations, leaves [num_tasks, ...], the fields of `losses`
    [num_tasks]. Unbiased: each pair is compared with the mean of the others.
    """
    num = jnp.maximum(jnp.sum(losses.usable), 2).astype(jnp.float32)
    mean = mean_over(losses.usable, losses.objective)
    above_others = (losses.objective - mean) * num / (num - 1)

    def gradient(z: jax.Array) -> jax.Array:
        squares = jnp.sum(jnp.square(z).reshape(len(z), -1), axis=1).astype(jnp.float32)
        return mean_over(losses.usable, above_others * (squares - float(z[0].size)))

    return jax.tree.map(gradient, unit)
