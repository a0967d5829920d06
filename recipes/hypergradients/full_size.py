"""The published experiments at their published size. None of them was run here.

    python recipes/hypergradients/full_size.py                  # their names, what was published
    python recipes/hypergradients/full_size.py mnist_images     # what it would do
    python recipes/hypergradients/full_size.py mnist_images --run --json FILE

They take a GPU, and data that have to be there: MNIST and CIFAR-10 by `metaopt data prepare NAME
--source tfds --download`, Penn Treebank and Omniglot as `ptb_self_tuning.py` and
`omniglot_sharing.py` say. A run records the outer loss of every step and the hyper-parameters at
the end; comparing those with what was published is up to whoever runs it.
"""

import json as json_module
import math
import sys
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import cifar10_self_tuning
import hyper_cleaning
import jax
import learned_images
import learned_schedules
import numpy as np
import omniglot_sharing
import overfitted_validation
import ptb_self_tuning
import tyro
import weight_penalties
from classification import Digits
from outcome import File
from tuning import problem_of, tuned

from metaopt import hyperparameters
from metaopt.estimators import GradientEstimator
from metaopt.learner import OuterStep
from metaopt.outer_optimizer import OuterOptimizer
from taskset.base import Dataset
from taskset.errors import unknown_name


class Preset(NamedTuple):
    """An experiment, and what it should come to."""

    estimator: GradientEstimator
    optimizer: OuterOptimizer
    num_outer_steps: int
    published: str

    @property
    def data(self) -> Dataset:
        """The shapes of its data, in their place."""
        family: Any = problem_of(self.estimator).family
        return family.shapes()


def _mnist(num_train: int, num_valid: int, **options: Any) -> Digits:
    return Digits(num_train, num_valid, num_pixels=784, dataset="mnist", source="tfds", **options)


SMALL_START = math.exp(-4)
PRESETS = {
    "mnist_schedules": Preset(
        learned_schedules.estimator(
            _mnist(10_000, 0, hidden=(50, 50, 50), spread=1.0, batch_size=200), num_tasks=1
        ),
        learned_schedules.OPTIMIZER,
        50,
        "initial scale of the first weight 1/sqrt(784); rates fall in the last 10 steps",
    ),
    "mnist_penalties": Preset(
        weight_penalties.estimator(_mnist(10_000, 10_000, spread=SMALL_START), 50, "sampled"),
        OuterOptimizer("sgd", 100.0),
        10,
        "maps of penalties that can be read; no figure",
    ),
    "mnist_images": Preset(
        learned_images.estimator(_mnist(10, 10_000, spread=SMALL_START)),
        OuterOptimizer("sgd", 1.0),
        40,
        "prototypes of digits, some pixels negative; no figure",
    ),
    "mnist_cleaning": Preset(
        hyper_cleaning.estimator(
            _mnist(5_000, 5_000, wrong_labels=2_500),
            hyper_cleaning.Weighted(5_000, share=0.3, rate=0.1, decay=0.0),
            num_steps=2_000,
        ),
        OuterOptimizer(learning_rate=0.005),
        500,
        "F1 .92; test accuracy 90.1 %, 87.7 % with all examples, 90.5 % with the right ones",
    ),
    "mnist_overfitting": Preset(
        overfitted_validation.estimator(
            _mnist(50, 50, hidden=(784,), activation="elu", batch_size=32, centred=True)
        ),
        overfitted_validation.OPTIMIZER,
        201,
        "an error of 0 on the 50 held-out examples, by 623,290 penalties",
    ),
    "omniglot_sharing": Preset(
        omniglot_sharing.estimator("omniglot.npz"),
        OuterOptimizer("sgd", 0.2),
        20,
        "loss of a script in training and test: separate .61, 1.34; tied bottom layer .90, 1.25; "
        "learned .60, 1.13",
    ),
    "cifar10_self_tuning": Preset(
        cifar10_self_tuning.estimator(),
        OuterOptimizer(learning_rate=0.003),
        15_600,
        "held-out and test loss .575, .576; Bayesian optimization .636, .651",
    ),
    "ptb_self_tuning": Preset(
        ptb_self_tuning.estimator("ptb"),
        OuterOptimizer(learning_rate=0.01),
        12_000,
        "perplexity, held-out and test, 70.30, 67.68; Bayesian optimization 72.13, 69.29",
    ),
}


def plan(preset: Preset) -> Mapping[str, int]:
    """Sizes of an experiment. Traces all of its program, on shapes alone."""
    estimator, data, key = preset.estimator, preset.data, jax.random.key(0)
    problem = problem_of(estimator)
    free = jax.eval_shape(lambda key: hyperparameters.start(problem.hyperparameters(), key), key)
    run = jax.eval_shape(problem.init, free, data, key)
    state = jax.eval_shape(estimator.init, free, data, key)
    found, _ = jax.eval_shape(estimator.estimate, free, state, data, key)
    size = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
    assert size(found.gradient) == size(free)
    return {
        "hyper-parameters": size(free),
        "parameters": size(run.params),
        "outer steps": preset.num_outer_steps,
        "inner steps": preset.num_outer_steps * estimator.inner_steps,
    }


def run_in_full(preset: Preset) -> dict[str, Any]:
    """The outer losses, and the hyper-parameters at the end."""
    losses: list[float] = []

    def note(step: OuterStep, _: object) -> None:
        assert step.aggregate.estimate is not None  # or there would be no step
        losses.append(float(step.aggregate.estimate.meta_loss))
        print(len(losses), losses[-1], flush=True)

    end = tuned(preset.estimator, preset.optimizer, preset.num_outer_steps, note)
    values = problem_of(preset.estimator).values(end)
    return {
        "losses": losses,
        **{name: np.asarray(value).tolist() for name, value in values.items()},
    }


def main(
    name: Annotated[str, tyro.conf.Positional] = "", run: bool = False, json: File = None
) -> None:
    """Lists the experiments, or plans one of them, or runs it.

    Args:
        name: of an experiment.
        run: do it.
        json: where to record what came of it.
    """
    if name and name not in PRESETS:
        sys.exit(str(unknown_name("experiment", name, PRESETS)))
    for each in [name] if name else PRESETS:
        print(f"{each:20} published: {PRESETS[each].published}")
    if name:
        print({key: f"{value:,}" for key, value in plan(PRESETS[name]).items()})
    if name and run:
        found = run_in_full(PRESETS[name])
        if json:
            json.write_text(json_module.dumps(found) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
