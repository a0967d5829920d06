"""The gradient of the outer loss of the state at hand, as if no run had led there.

It is what moves the hyper-parameters of a self-tuning network (MacKay et al. 2019,
https://arxiv.org/abs/1903.03088): the state of its run is a function of them.
"""

import dataclasses

import jax
import jax.numpy as jnp

from metaopt.estimators import runs
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context, Estimate, is_finite, mean_of_runs
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.truncated import TruncatedEstimator
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization, check_differentiable, normalize
from taskset.base import Dataset, Key
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class DirectGradient(TruncatedEstimator):
    """Differentiates the outer loss after every truncation; the state is a constant.

    For `SelfTuning`, `truncation` are the steps of training for one of tuning, 2 as published, and
    the horizon had better be `Endless`. `init` trains for `warm_up` steps.
    """

    truncation: int = 2
    normalization: Normalization = "none"
    warm_up: int = 0  # inner steps before the first estimate

    def __post_init__(self) -> None:
        check_differentiable(self.normalization)
        if self.warm_up < 0:
            raise InputError(f"warm_up is {self.warm_up}; it must be at least 0")

    @property
    def inner_steps(self) -> int:
        return self.num_tasks * self.truncation

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> runs.Run:
        key_start, key_steps = jax.random.split(key)
        run = super().init(meta_params, data, key_start, context)
        if not self.warm_up:
            return run

        def train(state, key: Key):
            keys = jax.random.split(key, self.warm_up)
            return runs.last_state(self.problem, meta_params, state, data, keys)

        keys = split_over_tasks(key_steps, self.num_tasks)
        return run._replace(state=over_tasks(train, run.state, keys))

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        def one_task(run: runs.Run, key: Key):
            key_start, key_steps, key_loss = jax.random.split(key, 3)
            run = self._restart(run, self._start(meta_params, data), key_start, context)
            keys = jax.random.split(key_steps, self.truncation)
            after = runs.last_state(self.problem, meta_params, run.state, data, keys)

            def outer_loss(meta_params: MetaParams):
                loss = self.problem.outer_loss(meta_params, after, data, key_loss)
                return normalize(loss, self.normalization, context.loss_scale), loss

            gradient, loss = jax.grad(outer_loss, has_aux=True)(meta_params)
            finite = jnp.isfinite(loss)
            run = runs.advance(run, after, self.truncation, finite)
            return run, gradient, loss, finite & is_finite(gradient)

        state, *results = over_tasks(one_task, state, split_over_tasks(key, self.num_tasks))
        return mean_of_runs(*results), state
