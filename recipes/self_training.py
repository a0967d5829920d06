"""A learned optimizer that trains learned optimizers.

    python recipes/self_training.py [--json FILE]

A small optimizer of arXiv:2203.11860 is meta-trained on digits, as recipes/digits_train_loss.toml
has it. Then it takes the place of Adam in the meta-training of a fresh one of its kind. Metz et al.
2020 (https://arxiv.org/abs/2009.11243, section 5) find it as good there as tuned Adam, for as many
outer steps as it was itself trained to make. For every outer optimizer: outer steps until the mean
meta-loss of 20 of them is below 1, and the mean of the last 50. Reproduction R10 of
docs/reproductions.md.
"""

import json as json_module
import pathlib
import time
from typing import Annotated, Any

import jax
import numpy as np
import optax
import outer_training
import tyro

from metaopt.estimators import PersistentES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import FactoredMLP, MetaParams
from taskset.families.mlp import MLPFamily

RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
NUM_INNER_STEPS = 200
REACHED, WINDOW = 1.0, 20  # meta-loss, and outer steps that it is a mean of


def learned(meta_params: MetaParams) -> optax.GradientTransformation:
    """The learned optimizer on all meta-parameters as one vector, gradients clipped to 0.1."""
    optimizer = FactoredMLP().as_optax(meta_params)
    return optax.chain(optax.clip(0.1), optax.flatten(optimizer))


def steps_to(losses: np.ndarray) -> int | None:
    """The outer step at which the mean of the last `WINDOW` losses is first below `REACHED`."""
    means = np.convolve(losses, np.full(WINDOW, 1 / WINDOW), mode="valid")
    below = np.flatnonzero(means < REACHED)
    return int(below[0]) + WINDOW if below.size else None


def main(
    num_steps: int = 500,
    num_first_steps: int = 1000,
    seeds: tuple[int, ...] = (0, 1, 2),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Trains the outer optimizer, then one with it, with one untrained, and with Adam."""
    problem = OptimizerTraining(MLPFamily(), FactoredMLP(), num_steps=NUM_INNER_STEPS)
    estimator = PersistentES(problem, 8, truncation=20, horizon=Fixed(NUM_INNER_STEPS))
    fresh = lambda seed: FactoredMLP().init(jax.random.key(seed))
    first = outer_training.train([estimator], fresh(100), 100, num_first_steps).meta_params
    settings: dict[str, tuple[Any, Any]] = {
        "learned": (first, learned),
        "not trained": (fresh(101), learned),
        **{f"Adam {rate:g}": (rate, outer_training.adam) for rate in RATES},
    }
    rows = []
    for name, (setting, outer) in settings.items():
        for seed in seeds:
            begun = time.process_time()
            found = outer_training.train([estimator], fresh(seed), seed, num_steps, setting, outer)
            losses = np.asarray(found.losses)
            at_the_end = float(np.mean(losses[-50:]))
            row = {
                "outer optimizer": name,
                "seed": seed,
                "steps to 1": steps_to(losses),
                "last 50": at_the_end if np.isfinite(at_the_end) else None,
                "CPU seconds": time.process_time() - begun,
            }
            print(row, flush=True)
            rows.append(row)
    if json:
        json.write_text(json_module.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
