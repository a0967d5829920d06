"""Weights of 800 examples, half of which have a wrong label: which to trust.

    python recipes/hypergradients/hyper_cleaning.py [--json FILE] [--picture FILE]

Softmax regression; the weights are from 0 to 1 and sum to at most half the examples, and the outer
loss is on 500 clean ones. Franceschi et al. 2017 (https://arxiv.org/abs/1703.01785), section 5.1,
on MNIST: those whose weight comes to 0 are the ones with a wrong label. Accuracies are, as
published, of training anew on the clean examples together with others: all, those that were kept,
and those whose label is right.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from classification import Classifier, Digits, cross_entropies, whole
from matplotlib.figure import Figure
from outcome import Outcome, command
from tuning import problem_of, trained, tuned

from metaopt import dynamics
from metaopt.domains import Budget
from metaopt.estimators import FullBackprop
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.outer_optimizer import OuterOptimizer
from taskset.base import Batch, Key, Params, Task
from taskset.data.arrays import ArrayDataset

NUM_STEPS, NUM_OUTER_STEPS = 200, 150
OPTIMIZER = OuterOptimizer(learning_rate=0.02)
FAMILY = Digits(800, 500, spread=0.01, wrong_labels=400)
SHARE = 0.5  # of the examples that may have weight
DROPPED = 1e-3  # what has less weight counts as wrong, as published


@dataclasses.dataclass(frozen=True)
class Weighted(Training):
    """Momentum on the weighted mean; at the start all weights are `share`, the sum of all allowed.

    `rate` is that of the mean over examples of weight 1.
    """

    num_examples: int
    share: float = SHARE
    rate: float = 1.0
    decay: float = 0.9

    def hyperparameters(self) -> Hyperparameters:
        budget = Budget(self.share * self.num_examples)
        return {"weights": Hyperparameter(self.share, budget, (self.num_examples,))}

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        assert isinstance(task, Classifier)
        losses = cross_entropies(task.logits(params, batch["image"]), batch["label"])
        return jnp.mean(values["weights"] * losses) / self.share

    def dynamics(self, values: Values) -> dynamics.Momentum:
        return dynamics.Momentum(self.rate, self.decay, damped=True)


def estimator(family: Digits, training: Weighted, num_steps: int) -> FullBackprop:
    """Of the final loss on the examples whose labels are right."""
    problem = HyperparameterTraining(family, training, "whole")
    return FullBackprop(problem, 1, Fixed(num_steps), objective="final", remat="none")


def run() -> Outcome:
    """The weights, which labels they take for wrong, and accuracies with and without them."""
    method = estimator(FAMILY, Weighted(FAMILY.num_train), NUM_STEPS)
    problem = problem_of(method)
    data = problem.load_data()
    learned = tuned(method, OPTIMIZER, NUM_OUTER_STEPS)["weights"]
    clean = dataclasses.replace(FAMILY, wrong_labels=0).load_data()
    wrong = whole(data, "train")["label"] != whole(clean, "train")["label"]
    dropped = np.asarray(learned) < DROPPED
    hits = np.sum(dropped & wrong)
    precision, recall = hits / max(1, np.sum(dropped)), hits / np.sum(wrong)

    together = {
        name: jnp.concatenate([array, whole(data, "outer_valid")[name]])
        for name, array in whole(data, "train").items()
    }

    def accuracy(kept: np.ndarray) -> float:
        weights = np.append(kept, np.ones(FAMILY.num_valid))
        at = {"weights": jnp.asarray(SHARE * weights / weights.mean(), jnp.float32)}
        params = trained(problem, at, NUM_STEPS, data=ArrayDataset({"train": together}))
        return FAMILY.classifier.accuracy(params, whole(data, "test"))

    return {
        "results": {
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / max(1e-9, precision + recall),
            "test_accuracy": accuracy(~dropped),
            "of_all_examples": accuracy(np.ones(FAMILY.num_train)),
            "of_right_examples": accuracy(~wrong),
            "of_clean_examples": accuracy(np.zeros(FAMILY.num_train)),
        },
        "weights_of_right_examples": learned[~wrong],
        "weights_of_wrong_examples": learned[wrong],
    }


def draw(outcome: Outcome, figure: Figure) -> None:
    """How many examples have which weight, right and wrong ones."""
    figure.set_size_inches(6.5, 3.6)
    axes = figure.subplots()
    kinds = ("right", "wrong")
    weights = [outcome[f"weights_of_{kind}_examples"] for kind in kinds]
    axes.hist(
        weights,
        bins=20,
        range=(0, 1),
        label=[f"label is {kind}" for kind in kinds],
        color=["C0", "C3"],
    )
    axes.set(xlabel="learned weight of an example", ylabel="examples")
    axes.legend()
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    command(run, draw)
