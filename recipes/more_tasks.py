"""Does a learned optimizer generalise better when it was meta-trained on more tasks?

    python recipes/more_tasks.py [--json FILE]

A small optimizer of arXiv:2203.11860 is meta-trained on 1, 4, 16 and 64 of recipes/small_tasks.py,
for equally many outer steps, and judged on 16 others. Metz et al. 2020
(https://arxiv.org/abs/2009.11243, section 4.2): the more tasks, the better. Losses are normalised
by run: the initial one is 1, that of Adam at the best of 15 rates 0; clipped to 2. Reproduction R14
of docs/reproductions.md.
"""

import json as json_module
import pathlib
import time
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import outer_training
import tyro
from small_tasks import SmallTasks

from metaopt import held_out
from metaopt.baselines.grid import RATES
from metaopt.baselines.one_rate import Adam
from metaopt.estimators import GradientEstimator, PersistentES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import FactoredMLP, LearnedOptimizer, MetaParams

NUM_STEPS, NUM_RUNS, CLIP = 200, 64, 2.0
NUM_TASKS = (1, 4, 16, 64)
HELD_OUT = SmallTasks(first=1000, number=16)
OPTIMIZER = FactoredMLP(step_multiplier=0.01)


def estimator(family: SmallTasks, optimizer: LearnedOptimizer) -> GradientEstimator:
    """PES on a family, with equal weight to every halving of a loss."""
    problem = OptimizerTraining(family, optimizer, num_steps=NUM_STEPS)
    horizon = Fixed(NUM_STEPS)
    return PersistentES(problem, 8, truncation=20, horizon=horizon, normalization="log")


def final_losses(
    family: SmallTasks, optimizer: LearnedOptimizer, settings: MetaParams
) -> tuple[np.ndarray, np.ndarray]:
    """First and last losses of held-out runs of all settings, each [num_settings, NUM_RUNS]."""
    problem = OptimizerTraining(family, optimizer, num_steps=NUM_STEPS)
    keys = held_out.evaluation_keys("report", range(NUM_RUNS))
    runs = held_out.train(problem, settings, family.load_data(), keys, NUM_STEPS)
    return np.asarray(runs.curves[..., 0]), np.asarray(runs.final_train_loss)


class Scale:
    """What losses of a family are normalised by."""

    def __init__(self, family: SmallTasks) -> None:
        rates = jnp.asarray(RATES, jnp.float32)
        first, last = final_losses(family, Adam(), {"learning_rate": rates})
        self._family, self._first = family, first[0]
        self._best = np.min(np.where(np.isfinite(last), last, np.inf), axis=0)

    def normalized(self, optimizer: LearnedOptimizer, meta_params: MetaParams) -> np.ndarray:
        """The last losses of held-out runs, [NUM_RUNS]."""
        setting = jax.tree.map(lambda x: x[None], meta_params)
        _, (last,) = final_losses(self._family, optimizer, setting)
        away = (last - self._best) / (self._first - self._best)
        return np.clip(np.where(np.isfinite(away), away, CLIP), -CLIP, CLIP)


def main(
    num_steps: int = 300,
    seeds: tuple[int, ...] = (0, 1, 2),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Trains for every number of tasks and seed; prints losses on the held-out and on the own."""
    others = Scale(HELD_OUT)
    rows: list[dict[str, Any]] = []
    for number in NUM_TASKS:
        family = SmallTasks(first=0, number=number)
        own = Scale(family)
        for seed in seeds:
            begun = time.process_time()
            start = OPTIMIZER.init(jax.random.key(seed))
            trained = outer_training.train([estimator(family, OPTIMIZER)], start, seed, num_steps)
            row: dict[str, Any] = {"tasks": number, "seed": seed}
            for name, scale in {"held out": others, "own": own}.items():
                losses = scale.normalized(OPTIMIZER, trained.meta_params)
                row |= {name: losses.tolist(), f"{name}, median": float(np.median(losses))}
            row["CPU seconds"] = time.process_time() - begun
            rows.append(row)
            shown = {k: v for k, v in row.items() if not isinstance(v, list)}
            print(shown, outer_training.with_interval(row["held out"]), flush=True)
    if json:
        json.write_text(json_module.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
