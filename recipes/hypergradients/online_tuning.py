"""Learning rate, momentum and penalty, tuned while the one run that they are of goes on.

    python recipes/hypergradients/online_tuning.py [--json FILE] [--picture FILE]

Forward mode carries the derivatives of the parameters by three hyper-parameters along; every ten
steps these move, and the run goes on: real-time hyper-parameter optimization (Franceschi et al.
2017, https://arxiv.org/abs/1703.01785). The rate starts a hundred times too low.
"""

import dataclasses

import jax
import numpy as np
from classification import Digits, penalty, whole
from matplotlib.figure import Figure
from outcome import Outcome, command
from tuning import params_in, problem_of, trained, tuned

from metaopt import dynamics
from metaopt.domains import Between, Positive
from metaopt.estimators import OnlineForwardMode
from metaopt.horizons import Endless
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters, start
from metaopt.learner import OuterStep
from metaopt.outer_optimizer import OuterOptimizer
from taskset.base import Batch, Key, Params, Task
from workers.local import InProcessPool

NUM_STEPS, EVERY = 600, 10
OPTIMIZER = OuterOptimizer(learning_rate=0.05)
FAMILY = Digits(300, 500, (32,), "tanh", batch_size=50)
WELL_CHOSEN = 0.1  # the learning rate


@dataclasses.dataclass(frozen=True)
class MomentumWithPenalty(Training):
    """Undamped, with one penalty for all parameters."""

    rate: float = 1e-3

    def hyperparameters(self) -> Hyperparameters:
        return {
            "rate": Hyperparameter(self.rate, Positive()),
            "decay": Hyperparameter(0.5, Between(0.0, 1.0)),
            "penalty": Hyperparameter(1e-4, Positive()),
        }

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        return task.loss(params, batch, key) + penalty(values["penalty"], params)

    def dynamics(self, values: Values) -> dynamics.Momentum:
        return dynamics.Momentum(values["rate"], values["decay"])


def estimator(family: Digits, every: int) -> OnlineForwardMode:
    """Of the loss on all held-out examples, every so many steps."""
    problem = HyperparameterTraining(family, MomentumWithPenalty())
    return OnlineForwardMode(problem, 1, every, Endless())


def run() -> Outcome:
    """Where the hyper-parameters go, and how accurate the networks of three runs are."""
    method, classifier = estimator(FAMILY, EVERY), FAMILY.classifier
    problem = problem_of(method)
    data = problem.load_data()
    valid = whole(data, "outer_valid")
    like = jax.eval_shape(classifier.init, jax.random.key(0))
    paths: dict[str, list[object]] = {name: [] for name in problem.hyperparameters()}
    accuracies = []

    def note(step: OuterStep, pool: InProcessPool) -> None:
        for name, value in problem.values(step.state.meta_params).items():
            paths[name].append(value)
        accuracies.append(classifier.accuracy(params_in(pool, like), valid))

    tuned(method, OPTIMIZER, NUM_STEPS // EVERY, note)

    def constant(rate: float) -> float:
        training = MomentumWithPenalty(rate)
        fixed = start(training.hyperparameters(), jax.random.key(0))
        of_run = dataclasses.replace(problem, training=training)
        return classifier.accuracy(trained(of_run, fixed, NUM_STEPS), valid)

    return {
        "results": {
            "valid_accuracy_tuned": accuracies[-1],
            "of_its_start": constant(MomentumWithPenalty.rate),
            "of_a_good_rate": constant(WELL_CHOSEN),
            **{name: path[-1] for name, path in paths.items()},
        },
        "paths": paths,
        "accuracies": accuracies,
    }


def draw(outcome: Outcome, figure: Figure) -> None:
    """Hyper-parameters, and accuracy, by inner step."""
    figure.set_size_inches(11, 3)
    steps = np.arange(1, NUM_STEPS // EVERY + 1) * EVERY
    curves = {**outcome["paths"], "held-out accuracy": outcome["accuracies"]}
    for axes, (name, curve) in zip(figure.subplots(1, 4), curves.items(), strict=True):
        axes.plot(steps, curve)
        axes.set(
            xlabel="inner step",
            title=name,
            yscale="log" if name in ("rate", "penalty") else "linear",
        )
        axes.grid(alpha=0.3)


if __name__ == "__main__":
    command(run, draw)
