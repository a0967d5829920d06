"""Backpropagation through whole runs: the exact gradient, where it does not explode."""

import dataclasses

import jax
import jax.numpy as jnp

from metaopt.estimators import runs
from metaopt.estimators.base import Context, Estimate, Objective, is_finite, mean_of_runs
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.whole_runs import WholeRunEstimator
from metaopt.learned_optimizers.base import MetaParams
from metaopt.normalize import Normalization, check_differentiable, normalize
from taskset.base import Dataset, Key
from taskset.errors import InputError


@dataclasses.dataclass(frozen=True)
class FullBackprop(WholeRunEstimator):
    """Differentiates `objective` of `num_tasks` whole runs.

    All runs have one length, for the backward pass takes a program of a fixed number of steps.
    """

    normalization: Normalization = "none"
    objective: Objective = "mean"
    remat: runs.Remat = "sqrt"

    def __post_init__(self) -> None:
        check_differentiable(self.normalization)
        shortest, longest = self.horizon.bounds()
        if shortest != longest:
            raise InputError(
                f"FullBackprop takes runs of one length, and horizons are {shortest} to {longest}; "
                "use a Fixed horizon, or TruncatedBackprop"
            )

    @property
    def inner_steps(self) -> int:
        return self.num_tasks * self._num_steps

    @property
    def _num_steps(self) -> int:
        return self.horizon.bounds()[1]

    def estimate(
        self,
        meta_params: MetaParams,
        state: tuple[()],
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, tuple[()]]:
        def objective(meta_params: MetaParams, key: Key):
            loss, finite = self._run(meta_params, data, key)
            return normalize(loss, self.normalization, context.loss_scale), (loss, finite)

        def one_task(key: Key):
            value_and_grad = jax.value_and_grad(objective, has_aux=True)
            (_, (loss, finite)), gradient = value_and_grad(meta_params, key)
            return gradient, loss, finite & is_finite(gradient)

        results = jax.vmap(one_task)(split_over_tasks(key, self.num_tasks))
        return mean_of_runs(*results), state

    def _run(self, at: MetaParams, data: Dataset, key: Key) -> tuple[jax.Array, jax.Array]:
        """The objective of a run, [] float32, and whether all its losses are finite, [] bool."""
        key_init, key_steps, key_final = jax.random.split(key, 3)
        start = self.problem.init(at, data, key_init)
        end, losses = runs.unroll(
            self.problem, at, start, data, key_steps, self._num_steps, self.remat
        )
        finite = jnp.all(jnp.isfinite(losses))
        if self.objective == "final":
            loss = self.problem.outer_loss(at, end, data, key_final)
            return loss, finite & jnp.isfinite(loss)
        return jnp.min(losses) if self.objective == "minimum" else jnp.mean(losses), finite
