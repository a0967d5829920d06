"""Evolution strategies and backpropagation, each where it is the less noisy.

Metz et al. 2019 (https://arxiv.org/abs/1810.10180, section 3): of every truncation there are two
estimates of one gradient, that of `TruncatedES` and that of `Reparameterised`. For each
meta-parameter, the two are averaged with the inverses of their variances over the runs as weights.
Where unrolls are smooth, backpropagation has the weight; where its gradients explode, none.
"""

import dataclasses

import jax
import jax.numpy as jnp

from metaopt.estimators import antithetic, runs
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context, Estimate, mean_of_runs, variance_over
from metaopt.estimators.reparameterised import ReparameterisedEstimator
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key
from taskset.errors import InputError

SMALLEST_VARIANCE = 1e-8  # added to every variance


@dataclasses.dataclass(frozen=True)
class InverseVariance(ReparameterisedEstimator):
    """The weighted mean of ES and backpropagation over `num_tasks` pairs, at least two.

    With `shared` perturbations both see the same unrolls; with others, ES has its own.
    """

    shared: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_tasks < 2:
            raise InputError(
                f"num_tasks is {self.num_tasks}; InverseVariance takes at least 2, for variances"
            )

    @property
    def inner_steps(self) -> int:
        return super().inner_steps * (1 if self.shared else 2)

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        def one_task(
            run: runs.Run, noise: MetaParams, other: MetaParams, key_start: Key, key_unroll: Key
        ):
            run = self._restart(run, self._start(meta_params, data), key_start, context)
            at = antithetic.as_pair(meta_params, other)
            gradient, after, loss = self._differentiate(at, run, data, key_unroll, context)
            if not self.shared:
                at = antithetic.as_pair(meta_params, noise)
                after, loss = self._truncation(at, run, data, key_unroll, context)
            return after, gradient, loss

        keys = antithetic.keys_of_tasks(key, self.num_tasks, 3 if self.shared else 4)
        keys_start, keys_noise, keys_unroll, *rest = keys
        noise = self._draw(keys_noise, meta_params)
        other = noise if self.shared else self._draw(rest[0], meta_params)
        tasks = (state, noise, other, keys_start, keys_unroll)
        state, backprop, losses = over_tasks(one_task, *tasks, differentiates=True)
        es = antithetic.gradients(noise, losses, self.stddev)
        gradients = combined(es, backprop, losses.usable)
        return mean_of_runs(gradients, losses.mean, losses.usable), state


def combined(es: MetaParams, backprop: MetaParams, usable: jax.Array) -> MetaParams:
    """What each run contributes to the weighted mean of two estimates, leaves [num_tasks, ...].

    The variances are over the runs that are `usable`, [num_tasks] bool. A coordinate in which the
    variance of backpropagation is not finite, for a sample of it has overflowed or its square
    does, is that of ES.
    """

    def combine(es: jax.Array, backprop: jax.Array) -> jax.Array:
        es_variance, variance = (
            variance_over(usable, samples) + SMALLEST_VARIANCE for samples in (es, backprop)
        )
        share = jnp.where(jnp.isfinite(variance), 1 / (1 + variance / es_variance), 0.0)[None]
        by_share = lambda share, samples: jnp.where(share > 0, share * samples, 0.0)
        return by_share(1 - share, es) + by_share(share, backprop)

    return jax.tree.map(combine, es, backprop)
