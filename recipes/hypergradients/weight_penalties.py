"""A penalty for every weight of softmax regression.

    python recipes/hypergradients/weight_penalties.py [--json FILE] [--picture FILE]

100 digits to train on, 500 for the outer loss, 640 penalties that start as one. Maclaurin et al.
2015 (https://arxiv.org/abs/1502.03492), section 3.2, on MNIST: maps of what each class should not
look at. Beside it the best single penalty of a grid, by the loss on the same 500.
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from classification import Digits, whole
from matplotlib.figure import Figure
from outcome import Outcome, command, draw_maps
from tuning import problem_of, trained, tuned

from metaopt import dynamics
from metaopt.domains import Positive
from metaopt.estimators import FullBackprop
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.outer_optimizer import OuterOptimizer
from taskset.base import Batch, Key, Params, Task

NUM_STEPS, NUM_OUTER_STEPS, START = 100, 30, 0.01
OPTIMIZER = OuterOptimizer(learning_rate=0.3)
FAMILY = Digits(100, 500, spread=math.exp(-4))
GRID = np.geomspace(1e-5, 1e-1, 17)


@dataclasses.dataclass(frozen=True)
class Penalised(Training):
    """Damped momentum on the cross-entropy, and on every squared weight times its penalty."""

    num_pixels: int = 64

    def hyperparameters(self) -> Hyperparameters:
        return {"penalty": Hyperparameter(START, Positive(), (self.num_pixels, 10))}

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        squares = jnp.square(params[0]["weight"])
        return task.loss(params, batch, key) + jnp.sum(values["penalty"] * squares)

    def dynamics(self, values: Values) -> dynamics.Momentum:
        return dynamics.Momentum(1.0, 0.9, damped=True)


def estimator(family: Digits, num_steps: int, batches: Literal["sampled", "whole"]) -> FullBackprop:
    """Of the final loss on the examples that are not trained on."""
    problem = HyperparameterTraining(family, Penalised(family.num_pixels), batches)
    return FullBackprop(problem, 1, Fixed(num_steps), objective="final", remat="none")


def run() -> Outcome:
    """The penalties, and losses with them, with the best single one and with that of the start."""
    method, key = estimator(FAMILY, NUM_STEPS, "whole"), jax.random.key(0)
    problem = problem_of(method)
    data = problem.load_data()
    free = problem.start(data, key)

    def losses(meta_params: object) -> dict[str, float]:
        params = trained(problem, meta_params, NUM_STEPS)
        of = lambda split: float(FAMILY.classifier.loss(params, whole(data, split), key))
        return {"valid": of("outer_valid"), "test": of("test")}

    learned = tuned(method, OPTIMIZER, NUM_OUTER_STEPS)
    grid = [losses({"penalty": jnp.full_like(free["penalty"], math.log(x))}) for x in GRID]
    first, _ = jax.jit(method.estimate)(free, (), data, key)
    gradient = np.asarray(first.gradient["penalty"])
    seen = sum(np.abs(whole(data, split)["image"]).sum(0) for split in ("train", "outer_valid"))
    return {
        "results": {
            "start": losses(free),
            "learned": losses(learned),
            "best_of_one": min(grid, key=lambda each: each["valid"]),
            "empty_pixels": int(np.sum(seen == 0)),
            "gradient_of_empty_pixels": float(np.abs(gradient[seen == 0]).max()),
            "least_gradient_of_others": float(np.abs(gradient[seen > 0]).max(1).min()),
        },
        "log10_penalties": np.log10(problem.values(learned)["penalty"]).T,
    }


def draw(outcome: Outcome, figure: Figure) -> None:
    """A map of penalties for each class."""
    maps, label = np.asarray(outcome["log10_penalties"]), "log10 of a penalty; white: as at first"
    draw_maps(figure, maps, "RdBu_r", label, middle=math.log10(START))


if __name__ == "__main__":
    command(run, draw)
