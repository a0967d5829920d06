"""A learned optimizer on networks wider than it was meta-trained on.

    python recipes/width.py [--json FILE]

A small optimizer of arXiv:2203.11860 is meta-trained on MLPs of 16, 32 and 64 units for digits,
once as it is, once with updates scaled by width and a last layer that starts at 0, the maximal
update parametrisation (Therien et al. 2024, https://arxiv.org/abs/2406.00153). Both train MLPs of
64, 256 and 1,024 units: how far logits move in the first steps, and the training loss after 200.
Reproduction R16 of docs/reproductions.md.
"""

import dataclasses
import functools
import json as json_module
import pathlib
import time
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import outer_training
import tyro

from metaopt import held_out
from metaopt.estimators import PersistentES
from metaopt.horizons import Fixed
from metaopt.inner_problem import OptimizerTraining
from metaopt.learned_optimizers import FactoredMLP, LearnedOptimizer, MetaParams
from metaopt.learned_optimizers.wrappers import wrapped
from taskset.base import Dataset, Key, Task, TaskFamily
from taskset.data import sources
from taskset.families.mlp import plain_mlp

NUM_STEPS, NUM_RUNS, FIRST_STEPS = 200, 8, 5
TRAINED_ON, TESTED_ON = (16, 32, 64), (64, 256, 1024)  # units of both hidden layers
INFO = sources.info("digits", "embedded")


@dataclasses.dataclass(frozen=True)
class Wide(TaskFamily):
    """MLPs of two hidden layers on digits."""

    width: int
    zero_start: bool  # of the last layer
    batch_size: int = 64

    def load_data(self) -> Dataset:
        return sources.load("digits", "embedded")

    def sample(self, data: Dataset, key: Key) -> Task:
        del data, key
        hidden = (self.width, self.width)
        task = plain_mlp(INFO.image_shape, hidden, INFO.num_classes, "relu", self.batch_size)
        network = dataclasses.replace(task.network, zero_start=self.zero_start)
        return dataclasses.replace(task, network=network)


@dataclasses.dataclass(frozen=True)
class Scaled(LearnedOptimizer):
    """`FactoredMLP` with updates scaled by width; the base is the narrowest of `TRAINED_ON`."""

    def init(self, key: Key) -> MetaParams:
        return FactoredMLP().init(key)

    def as_optax(
        self, meta_params: MetaParams, *, num_steps: int | None = None
    ) -> optax.GradientTransformationExtraArgs:
        family = Wide(TRAINED_ON[0], zero_start=True)
        task = family.sample(family.load_data(), jax.random.key(0))
        base = jax.eval_shape(task.init, jax.random.key(0))
        return wrapped(FactoredMLP().as_optax(meta_params, num_steps=num_steps), base_params=base)


SETTINGS: dict[str, tuple[LearnedOptimizer, bool]] = {
    "as it is": (FactoredMLP(), False),
    "scaled": (Scaled(), True),
}


@functools.partial(jax.jit, static_argnums=(0, 1))
def runs_of(optimizer: LearnedOptimizer, family: Wide, meta_params: MetaParams):
    """Of held-out runs: by how much logits move in `FIRST_STEPS`, and final train losses."""
    problem = OptimizerTraining(family, optimizer, num_steps=NUM_STEPS)
    data = problem.load_data()
    images = data.whole("train")

    def one_run(key: Key) -> tuple[jax.Array, jax.Array]:
        key_init, key_steps = jax.random.split(key)
        keys = jax.random.split(key_steps, NUM_STEPS)
        step = lambda state, key: (problem.step(meta_params, state, data, key)[0], None)
        start = problem.init(meta_params, data, key_init)
        logits = lambda state: state.task.network.apply(
            state.params, state.task.images.flat(images["image"])
        )
        early, _ = jax.lax.scan(step, start, keys[:FIRST_STEPS])
        end, _ = jax.lax.scan(step, early, keys[FIRST_STEPS:])
        moved = jnp.sqrt(jnp.mean(jnp.square(logits(early) - logits(start))))
        return moved, held_out.whole_loss(end, data, "train", key)

    return jax.lax.map(one_run, held_out.evaluation_keys("report", range(NUM_RUNS)))


def main(
    num_steps: int = 300,
    seeds: tuple[int, ...] = (0, 1),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Trains both kinds for every seed, and prints what they do by width."""
    rows: list[dict[str, Any]] = []
    for name, (optimizer, zero_start) in SETTINGS.items():
        estimators = [
            PersistentES(
                OptimizerTraining(Wide(width, zero_start), optimizer, num_steps=NUM_STEPS),
                4,
                truncation=20,
                horizon=Fixed(NUM_STEPS),
            )
            for width in TRAINED_ON
        ]
        for seed in seeds:
            begun = time.process_time()
            start = optimizer.init(jax.random.key(seed))
            found = outer_training.train(estimators, start, seed, num_steps).meta_params
            for width in TESTED_ON:
                moved, losses = map(np.asarray, runs_of(optimizer, Wide(width, zero_start), found))
                row = {
                    "updates": name,
                    "seed": seed,
                    "width": width,
                    "logits moved": moved.tolist(),
                    "final train loss": losses.tolist(),
                    "CPU seconds": time.process_time() - begun,
                }
                rows.append(row)
                shown = {key: outer_training.with_interval(row[key]) for key in list(row)[3:5]}
                print(name, seed, width, shown, f"{row['CPU seconds']:.0f} s", flush=True)
    if json:
        json.write_text(json_module.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
