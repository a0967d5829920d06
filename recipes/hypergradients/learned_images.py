"""Ten images to train on, one a digit, learned such that 20 steps on them alone make a classifier.

    python recipes/hypergradients/learned_images.py [--json FILE] [--picture FILE]

The penalty of that training is learned, too. Maclaurin et al. 2015
(https://arxiv.org/abs/1502.03492), section 3.3, on MNIST: the images become prototypes of digits.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from classification import Digits, penalty, whole
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

NUM_STEPS, NUM_OUTER_STEPS, NUM_CLASSES = 20, 200, 10
OPTIMIZER = OuterOptimizer(learning_rate=0.05)
FAMILY = Digits(200, 1000, spread=1e-6)  # published: e^-4, whose noise the images carry, too


@dataclasses.dataclass(frozen=True)
class OnImages(Training):
    """Damped momentum on the images that are learned."""

    num_pixels: int = 64

    def hyperparameters(self) -> Hyperparameters:
        images = Hyperparameter(0.0, shape=(NUM_CLASSES, self.num_pixels), spread=0.01)
        return {"images": images, "penalty": Hyperparameter(0.01, Positive())}

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        learned = {"image": values["images"], "label": jnp.arange(NUM_CLASSES)}
        return task.loss(params, learned, key) + penalty(values["penalty"], params)

    def dynamics(self, values: Values) -> dynamics.Momentum:
        return dynamics.Momentum(1.0, 0.9, damped=True)


def estimator(family: Digits) -> FullBackprop:
    """Of the final loss on real digits."""
    problem = HyperparameterTraining(family, OnImages(family.num_pixels))
    return FullBackprop(problem, 1, Fixed(NUM_STEPS), objective="final", remat="none")


def run() -> Outcome:
    """The images, how well they teach, and how they look beside the mean of each digit."""
    method = estimator(FAMILY)
    problem = problem_of(method)
    data = problem.load_data()
    meta_params = tuned(method, OPTIMIZER, NUM_OUTER_STEPS)
    images = np.asarray(meta_params["images"])
    real, labels = whole(data, "outer_valid").values()
    of_digits = [real[labels == digit] for digit in range(NUM_CLASSES)]
    means, firsts = (np.stack(x) for x in zip(*((x.mean(0), x[0]) for x in of_digits), strict=True))
    kept = means.std(0) > 0

    def correlations(images: np.ndarray, means: np.ndarray) -> list[float]:
        pairs = zip(images[:, kept], means[:, kept], strict=True)
        return [float(np.corrcoef(*pair)[0, 1]) for pair in pairs]

    def accuracy(images: np.ndarray) -> float:
        params = trained(problem, {**meta_params, "images": jnp.asarray(images)}, NUM_STEPS)
        return FAMILY.classifier.accuracy(params, whole(data, "test"))

    apart = images - images.mean(0)  # without what all ten have in common
    return {
        "results": {
            "test_accuracy": accuracy(images),
            "of_what_differs": accuracy(apart),
            "of_ten_examples": accuracy(firsts),
            "correlations_with_means": correlations(images, means),
            "correlations_of_what_differs": correlations(apart, means - means.mean(0)),
            "negative_pixels": int(np.sum(images < 0)),
        },
        "images": images,
    }


def draw(outcome: Outcome, figure: Figure) -> None:
    """The ten images."""
    draw_maps(figure, np.asarray(outcome["images"]), "RdGy", "learned pixel; negative ones are red")


if __name__ == "__main__":
    command(run, draw)
