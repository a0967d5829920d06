"""Optimizers that are asked for a low loss on noisy inputs, which inner training never sees.

    python recipes/robustness.py [--json FILE]

As recipes/digits_valid_loss.toml, with normal noise of deviation 0.3 on the images of the outer
loss; images are between 0 and 1. Metz et al. 2019 (https://arxiv.org/abs/1906.03367): models that
such an optimizer trains are more robust than Adam's, also to noise of other sizes. Test loss at
four sizes of noise, beside an optimizer trained on clean held-out data, and beside Adam at the
best of 30 settings, for that size or without noise. Reproduction R18 of docs/reproductions.md.
"""

import functools
import json as json_module
import pathlib
import time
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import outer_training
import tyro

from metaopt import held_out
from metaopt.baselines.grid import RATES
from metaopt.baselines.one_rate import SCHEDULES, Adam
from metaopt.corruption import Corruption
from metaopt.estimators import PersistentES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import FactoredMLP, LearnedOptimizer, MetaParams
from taskset.families.mlp import MLPFamily

NUM_STEPS, NUM_RUNS, FAMILY = 200, 16, MLPFamily()
TRAINED_AT, TESTED_AT = (0.0, 0.3), (0.0, 0.1, 0.3, 0.5)  # deviations of the noise


@functools.partial(jax.jit, static_argnums=0)
def test_losses(optimizer: LearnedOptimizer, meta_params: MetaParams) -> jax.Array:
    """The test loss after a run, by run and size of the noise: [NUM_RUNS, 4] float32."""
    problem = OptimizerTraining(FAMILY, optimizer, num_steps=NUM_STEPS)
    data = problem.load_data()

    def one_run(key: jax.Array) -> jax.Array:
        key_init, key_steps, key_noise = jax.random.split(key, 3)
        step = lambda state, key: problem.step(meta_params, state, data, key)
        start = problem.init(meta_params, data, key_init)
        end, _ = jax.lax.scan(step, start, jax.random.split(key_steps, NUM_STEPS))
        noisy = lambda size: Corruption(input_noise=size).apply(data.whole("test"), key_noise)
        return jnp.stack([end.task.loss(end.params, noisy(size), key) for size in TESTED_AT])

    return jax.vmap(one_run)(held_out.evaluation_keys("report", range(NUM_RUNS)))


def adams() -> dict[str, np.ndarray]:
    """Test losses of Adam, constant or with cosine decay, at the best of 15 rates: [NUM_RUNS, 4].

    Best for each size of noise, or best without noise.
    """
    settings = [(Adam(schedule), rate) for schedule in SCHEDULES for rate in RATES]
    by_setting = [test_losses(a, {"learning_rate": jnp.float32(rate)}) for a, rate in settings]
    losses = np.stack(by_setting)  # [settings, NUM_RUNS, 4]
    best = np.argmin(losses.mean(1), axis=0)
    of_each = np.stack([losses[best[i], :, i] for i in range(len(TESTED_AT))], axis=1)
    return {"Adam, best at each noise": of_each, "Adam, best without noise": losses[best[0]]}


def main(
    num_steps: int = 1000,
    seeds: tuple[int, ...] = (0, 1, 2),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Trains one optimizer for each noise and seed, and prints the test losses."""
    rows: list[dict[str, Any]] = []

    def report(name: str, seed: int | None, losses: np.ndarray, seconds: float) -> None:
        by_noise = {f"noise {size:g}": losses[:, i].tolist() for i, size in enumerate(TESTED_AT)}
        rows.append({"trained by": name, "seed": seed, "CPU seconds": seconds, **by_noise})
        shown = {key: outer_training.with_interval(value) for key, value in by_noise.items()}
        print(name, seed, shown, f"{seconds:.0f} s", flush=True)

    begun = time.process_time()
    for name, losses in adams().items():
        report(name, None, losses, time.process_time() - begun)
    for size in TRAINED_AT:
        problem = OptimizerTraining(
            FAMILY, FactoredMLP(), "outer_valid", NUM_STEPS, Corruption(input_noise=size)
        )
        estimator = PersistentES(problem, 8, truncation=20, horizon=Fixed(NUM_STEPS))
        for seed in seeds:
            begun = time.process_time()
            start = FactoredMLP().init(jax.random.key(seed))
            found = outer_training.train([estimator], start, seed, num_steps).meta_params
            losses = np.asarray(test_losses(FactoredMLP(), found))
            report(f"learned at {size:g}", seed, losses, time.process_time() - begun)
    if json:
        json.write_text(json_module.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
