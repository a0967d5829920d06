"""Persistent evolution strategies (Vicol et al. 2021, https://arxiv.org/abs/2112.13835).

The truncations k = 1, 2, ... of a run perturb the meta-parameters by +e_k and -e_k, drawn anew with
standard deviation s, and each sign carries its own inner state on. With L_k(+) and L_k(-) the mean
losses of truncation k,

    g_k = (e_1 + ... + e_k) * (L_k(+) - L_k(-)) / (2 s^2),

summed over the truncations of a run, is an unbiased estimate of the gradient of the smoothed loss
of the whole run, however short the truncations (equation 10). In the code: e_k is `noise`,
e_1 + ... + e_k `total_noise`, s `stddev`.

A perturbation may also be kept for several truncations; the sum then has it once. Kept for the
whole run, it is noise reuse (Li et al. 2023, https://arxiv.org/abs/2304.12180), also known as
ES-Single (Vicol et al. 2023, https://arxiv.org/abs/2304.11153); between the two is generalised PES.
"""

import abc
import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from metaopt.estimators import antithetic, runs
from metaopt.estimators.antithetic import PairLoss
from metaopt.estimators.at_once import over_tasks
from metaopt.estimators.base import Context, Estimate
from metaopt.estimators.devices import split_over_tasks
from metaopt.estimators.rematerialisation import Remat
from metaopt.estimators.truncated import AntitheticEstimator
from metaopt.learned_optimizers.base import MetaParams
from taskset.base import Dataset, Key
from taskset.errors import InputError


class PersistentPair(NamedTuple):
    """An antithetic pair that goes on over truncations."""

    states: Any  # inner states of both signs, leaves [2, ...]
    noise: MetaParams  # the present perturbation
    total_noise: MetaParams  # summed since the run began, each perturbation once


@dataclasses.dataclass(frozen=True)
class PersistentEstimator(AntitheticEstimator, abc.ABC):
    """Antithetic ES over `num_tasks` pairs, `truncation` inner steps at a time.

    Its state is a `runs.Run` of `PersistentPair`, leaves [num_tasks, ...]. With the objective
    "final", losses are telescoped: the difference that a truncation makes to the outer loss counts.
    """

    objective: Literal["mean", "final"] = "mean"

    @property
    @abc.abstractmethod
    def noise_period(self) -> int:
        """Inner steps for which a perturbation is kept, a multiple of the truncation."""

    def init(
        self, meta_params: MetaParams, data: Dataset, key: Key, context: Context = Context()
    ) -> runs.Run:
        run = super().init(meta_params, data, key, context)
        # What starts within a period has the perturbation of that period from the start.
        keys = split_over_tasks(jax.random.fold_in(key, 0), self.num_tasks)
        noise = self._draw(keys, meta_params)
        noise = jax.vmap(_only_where)(run.age % self.noise_period != 0, noise)
        return run._replace(state=run.state._replace(noise=noise, total_noise=noise))

    def estimate(
        self,
        meta_params: MetaParams,
        state: runs.Run,
        data: Dataset,
        key: Key,
        context: Context = Context(),
    ) -> tuple[Estimate, runs.Run]:
        def one_task(run: runs.Run, noise: MetaParams, key_start: Key, key_unroll: Key):
            at = antithetic.as_pair(meta_params, noise)
            run = self._perturbed(run, noise, self._start_at(at, data), key_start, context)
            at = antithetic.as_pair(meta_params, run.state.noise)
            return self._truncation(at, run, data, key_unroll, context)

        keys_start, keys_noise, keys_unroll = antithetic.keys_of_tasks(key, self.num_tasks)
        noise = self._draw(keys_noise, meta_params)
        state, losses = over_tasks(one_task, state, noise, keys_start, keys_unroll)
        total = state.state.total_noise
        return antithetic.estimate(total, losses, self.stddev, self.normalization), state

    def _start(self, meta_params: MetaParams, data: Dataset) -> runs.Start:
        no_noise = jax.tree.map(jnp.zeros_like, meta_params)
        return self._start_at(antithetic.as_pair(meta_params, no_noise), data)

    def _start_at(self, pair: MetaParams, data: Dataset) -> runs.Start:
        def start(key: Key) -> PersistentPair:
            states = jax.vmap(lambda at: self.problem.init(at, data, key))(pair)
            no_noise = jax.tree.map(lambda x: jnp.zeros_like(x[0]), pair)
            return PersistentPair(states, no_noise, no_noise)

        return start

    def _perturbed(
        self, run: runs.Run, noise: MetaParams, start: runs.Start, key: Key, context: Context
    ) -> runs.Run:
        """`run`, or a new one when it has ended, and `noise` in it where a period begins."""
        run = self._restart(run, start, key, context)
        anew = run.age % self.noise_period == 0
        kept = jax.tree.map(lambda new, old: jnp.where(anew, new, old), noise, run.state.noise)
        total = jax.tree.map(jnp.add, run.state.total_noise, _only_where(anew, noise))
        return run._replace(state=run.state._replace(noise=kept, total_noise=total))

    def _truncation(
        self,
        at: MetaParams,
        run: runs.Run,
        data: Dataset,
        key: Key,
        context: Context,
        remat: Remat = "none",
    ) -> tuple[runs.Run, PairLoss]:
        """The run of the pair `at` after the next truncation, and the losses of that."""
        before = run.state.states
        states, loss = self._unroll(at, before, run, data, key, context, remat)
        if self.objective == "final":
            key_outer = jax.random.fold_in(key, 0)  # one minibatch for the two ends
            outer = lambda at, state: self.problem.outer_loss(at, state, data, key_outer)
            telescoped = antithetic.telescoped_loss(
                jax.vmap(outer)(at, before),
                jax.vmap(outer)(at, states),
                self.truncation / run.length.astype(jnp.float32),
                run.age == 0,
                self.normalization,
                context.loss_scale,
            )
            loss = telescoped._replace(usable=telescoped.usable & loss.usable)
        pair = run.state._replace(states=states)
        return runs.advance(run, pair, self.truncation, loss.usable), loss


def _only_where(condition: jax.Array, tree: MetaParams) -> MetaParams:
    return jax.tree.map(lambda x: jnp.where(condition, x, jnp.zeros_like(x)), tree)


@dataclasses.dataclass(frozen=True)
class PersistentES(PersistentEstimator):
    """PES: a perturbation for each truncation."""

    @property
    def noise_period(self) -> int:
        return self.truncation


@dataclasses.dataclass(frozen=True)
class NoiseReuseES(PersistentEstimator):
    """NRES, or ES-Single: one perturbation for the whole run."""

    @property
    def noise_period(self) -> int:
        return self.horizon.bounds()[1]


@dataclasses.dataclass(frozen=True)
class GPES(PersistentEstimator):
    """Generalised PES: a perturbation for every `noise_steps` inner steps."""

    noise_steps: int = 100

    def __post_init__(self) -> None:
        if self.truncation > 0 and (self.noise_steps < 1 or self.noise_steps % self.truncation):
            nearest = max(1, round(self.noise_steps / self.truncation)) * self.truncation
            raise InputError(
                f"noise_steps is {self.noise_steps}, not a multiple of the truncation "
                f"{self.truncation}; use {nearest}"
            )

    @property
    def noise_period(self) -> int:
        return self.noise_steps
