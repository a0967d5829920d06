"""Fitting the Lorenz system: chaotic dynamics, which mislead short truncations.

    python recipes/lorenz.py [--json FILE]

The coordinate z of a run with parameters a and r is compared with that of the true system; the
outer parameters are log a and log r. Li et al. 2023 (https://arxiv.org/abs/2304.12180): noise reuse
beats persistent ES, and truncated ES ends at wrong parameters. Reproduction R4 of
docs/reproductions.md.
"""

import dataclasses
import json as json_module
import pathlib
import time
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import tyro

from metaopt.estimators import GradientEstimator, NoiseReuseES, PersistentES, TruncatedES, runs
from metaopt.horizons import Fixed
from metaopt.inner_problem import InnerProblem
from taskset.base import Dataset, Key, NoData

STEP_SECONDS, NUM_STEPS, TRUNCATION = 0.005, 2000, 100
STDDEV = 0.04
TRUTH = jnp.log(jnp.asarray([10.0, 28.0]))  # of a and r; b is known
B = 8 / 3
START = jnp.asarray([3.116, 3.7])


class Both(NamedTuple):
    """Where the system and the true one are, each [3]."""

    ours: jax.Array
    true: jax.Array


@dataclasses.dataclass(frozen=True)
class Lorenz(InnerProblem):
    """Euler steps; the loss of a step is the squared difference of z after it."""

    def load_data(self) -> Dataset:
        return NoData()

    def init(self, meta_params: jax.Array, data: Dataset, key: Key) -> Both:
        start = jnp.asarray([1.2, 1.3, 1.6])
        return Both(start, start)

    def step(self, meta_params: jax.Array, state: Both, data: Dataset, key: Key):
        state = Both(_euler(meta_params, state.ours), _euler(TRUTH, state.true))
        return state, self.outer_loss(meta_params, state, data, key)

    def outer_loss(self, meta_params: Any, state: Both, data: Dataset, key: Key) -> jax.Array:
        return jnp.square(state.ours[2] - state.true[2])


def _euler(logarithms: jax.Array, at: jax.Array) -> jax.Array:
    (a, r), (x, y, z) = jnp.exp(logarithms), at
    return at + STEP_SECONDS * jnp.stack([a * (y - x), x * (r - z) - y, x * y - B * z])


@jax.jit
def mean_loss(theta: jax.Array) -> jax.Array:
    """The mean squared error of a run without perturbations, [] float32."""
    problem, key = Lorenz(), jax.random.key(0)
    start = problem.init(theta, NoData(), key)
    return jnp.mean(runs.unroll(problem, theta, start, NoData(), key, NUM_STEPS)[1])


def train(
    estimator: GradientEstimator, rate: optax.ScalarOrSchedule, seed: int, num_steps: int
) -> jax.Array:
    """The outer parameters in the last tenth of `num_steps` steps of SGD, [num_steps / 10, 2]."""
    sgd = optax.sgd(rate)

    def outer_step(carry: Any, key: Key):
        theta, opt_state, state = carry
        estimate, state = estimator.estimate(theta, state, NoData(), key)
        updates, opt_state = sgd.update(estimate.gradient, opt_state)
        theta = jnp.asarray(optax.apply_updates(theta, updates))
        return (theta, opt_state, state), theta

    @jax.jit
    def run(key: Key) -> jax.Array:
        key_init, key_steps = jax.random.split(key)
        start = (START, sgd.init(START), estimator.init(START, NoData(), key_init))
        return jax.lax.scan(outer_step, start, jax.random.split(key_steps, num_steps))[1]

    return run(jax.random.key(seed))[-(num_steps // 10) :]


def main(
    num_steps: int = 1000,
    num_pairs: int = 200,
    seeds: tuple[int, ...] = (3, 4, 5),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Trains with three estimators, each at the rate of the paper, and prints the errors."""
    arguments = (Lorenz(), num_pairs, TRUNCATION, Fixed(NUM_STEPS), STDDEV)
    lowered = optax.piecewise_constant_schedule(1e-5, {1000: 0.1})
    settings = {
        "NoiseReuseES": (NoiseReuseES(*arguments), 1e-5),
        "PersistentES": (PersistentES(*arguments), lowered),
        "TruncatedES": (TruncatedES(*arguments), 3e-4),
    }
    print(f"before: mean squared error {mean_loss(START):.1f}")
    rows = []
    for name, (estimator, rate) in settings.items():
        for seed in seeds:
            begun = time.perf_counter()
            thetas = train(estimator, rate, seed, num_steps)
            row = {
                "estimator": name,
                "seed": seed,
                "mean_squared_error": float(jnp.mean(jax.vmap(mean_loss)(thetas))),
                "theta": jnp.mean(thetas, axis=0).tolist(),
                "seconds": time.perf_counter() - begun,
            }
            print(row, flush=True)
            rows.append(row)
    if json:
        run = {"num_steps": num_steps, "num_pairs": num_pairs}
        json.write_text(json_module.dumps({**run, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
