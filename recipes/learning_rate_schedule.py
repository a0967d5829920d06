"""A learning-rate schedule of two numbers, tuned over runs of 500 steps, 10 at a time.

    python recipes/learning_rate_schedule.py [--json FILE]

An MLP of two layers on digits, trained by momentum 0.9 at the rate a / (1 + step / 500)^b; outer
parameters are log a and log b, the outer objective is the mean training loss of the run. Vicol et
al. 2021 (https://arxiv.org/abs/2112.13835), on MNIST: persistent ES finds the best of a grid, and
truncated ES a rate that is too low. What is found is judged by runs that no estimate has seen,
beside a grid of 21 x 21. Reproduction R11 of docs/reproductions.md.
"""

import dataclasses
import json as json_module
import pathlib
import time
from collections.abc import Mapping
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optax
import outer_training
import tyro

from metaopt.domains import Positive
from metaopt.dynamics import Momentum
from metaopt.estimators import GradientEstimator, NoiseReuseES, PersistentES, TruncatedES, runs
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import Dynamics, HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter
from metaopt.learned_optimizers import MetaParams
from taskset.families.mlp import MLPFamily

NUM_STEPS, TRUNCATION, NUM_PAIRS, STDDEV = 500, 10, 50, 0.1
START = {"rate": 0.01, "power": 1.0}
GRID = {"rate": np.geomspace(1e-3, 1e1, 21), "power": np.geomspace(1e-1, 1e1, 21)}


@dataclasses.dataclass(frozen=True)
class Schedule(Training):
    """The rate of each step from the two hyper-parameters."""

    def hyperparameters(self) -> Mapping[str, Hyperparameter]:
        return {name: Hyperparameter(start, Positive()) for name, start in START.items()}

    def dynamics(self, values: Values) -> Dynamics:
        times = jnp.arange(NUM_STEPS, dtype=jnp.float32) / NUM_STEPS
        return Momentum(values["rate"] * (1 + times) ** -values["power"], decay=0.9)


PROBLEM = HyperparameterTraining(
    MLPFamily(hidden=(32, 32)), Schedule(), outer_batch="sampled", outer_split="train"
)
ESTIMATORS: dict[str, GradientEstimator] = {
    kind.__name__: kind(PROBLEM, NUM_PAIRS, TRUNCATION, Fixed(NUM_STEPS), STDDEV)
    for kind in (PersistentES, NoiseReuseES, TruncatedES)
}


@jax.jit
def mean_losses(meta_params: MetaParams, keys: jax.Array) -> jax.Array:
    """The mean loss of the run of each of `keys`, [num_runs] float32; inf where it diverged."""
    data = PROBLEM.load_data()

    def one_run(key: jax.Array) -> jax.Array:
        key_init, key_steps = jax.random.split(key)
        start = PROBLEM.init(meta_params, data, key_init)
        losses = runs.unroll(PROBLEM, meta_params, start, data, key_steps, NUM_STEPS)[1]
        return jnp.nan_to_num(jnp.mean(losses), nan=jnp.inf)

    return jax.vmap(one_run)(keys)


def free(rate: float, power: float) -> MetaParams:
    """The meta-parameters of a schedule."""
    return {"rate": jnp.float32(np.log(rate)), "power": jnp.float32(np.log(power))}


def best_of_grid(keys: jax.Array) -> dict[str, float]:
    """The schedule of the grid with the least mean loss."""
    points = [(rate, power) for rate in GRID["rate"] for power in GRID["power"]]
    losses = [float(jnp.mean(mean_losses(free(*point), keys))) for point in points]
    best = int(np.argmin(losses))
    return {"rate": points[best][0], "power": points[best][1], "mean loss": losses[best]}


def main(
    num_steps: int = 500,
    seeds: tuple[int, ...] = (0, 1, 2),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Trains with three estimators, and prints the losses of what they find and of the grid."""
    keys = jax.random.split(jax.random.key(1000), 4)
    grid = best_of_grid(keys)
    rows = []
    print("grid", grid, "start", jnp.mean(mean_losses(free(**START), keys)), flush=True)
    for name, estimator in ESTIMATORS.items():
        for seed in seeds:
            begun = time.process_time()
            start = PROBLEM.start(PROBLEM.load_data(), jax.random.key(seed))
            found = outer_training.train(
                [estimator], start, seed, num_steps, setting=1e-2, outer=optax.adam
            ).meta_params
            losses = np.asarray(mean_losses(found, keys))
            row = {
                "estimator": name,
                "seed": seed,
                **{key: float(jnp.exp(value)) for key, value in found.items()},
                "mean loss": float(np.mean(losses)),
                "times grid": float(np.mean(losses)) / grid["mean loss"],
                "CPU seconds": time.process_time() - begun,
            }
            print(row, flush=True)
            rows.append(row)
    if json:
        json.write_text(json_module.dumps({"grid": grid, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
