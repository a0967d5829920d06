"""A penalty for each of 4,810 parameters: enough to over-fit 50 held-out examples.

    python recipes/hypergradients/overfitted_validation.py [--json FILE] [--picture FILE]

An MLP on 50 digits; its penalties follow the implicit gradient of the loss on 50 others, with three
terms of a Neumann series. Lorraine et al. 2020 (https://arxiv.org/abs/1911.02590), section 5.1: an
error of 0 on held-out examples says that the hyper-gradient is of use in as many dimensions.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from classification import Digits, whole
from matplotlib.figure import Figure
from outcome import Outcome, command
from tuning import params_in, tuned

from metaopt import dynamics
from metaopt.domains import AtLeast
from metaopt.estimators import Implicit
from metaopt.horizons import Endless
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.learner import OuterStep
from metaopt.linear_solvers import Neumann
from metaopt.outer_optimizer import OuterOptimizer
from taskset.base import Batch, Key, Params, Task
from workers.local import InProcessPool

NUM_OUTER_STEPS, EVERY = 200, 10
OPTIMIZER = OuterOptimizer("rmsprop", 0.1)
FAMILY = Digits(50, 50, (64,), "elu", batch_size=32, centred=True)


@dataclasses.dataclass(frozen=True)
class PenaltyOfEach(Training):
    """Adam on the cross-entropy and all squared parameters, each times its own penalty."""

    num_parameters: int

    def hyperparameters(self) -> Hyperparameters:
        shape = (self.num_parameters,)
        return {"penalties": Hyperparameter(0.97, AtLeast(0.0), shape, spread=0.29)}

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        flat = jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(params)])
        return task.loss(params, batch, key) + jnp.sum(values["penalties"] * jnp.square(flat))

    def dynamics(self, values: Values) -> dynamics.Adam:
        return dynamics.Adam(1e-4, epsilon=1e-12)


def estimator(family: Digits) -> Implicit:
    """After every 50 steps of one run."""
    start = jax.eval_shape(family.classifier.init, jax.random.key(0))
    size = sum(leaf.size for leaf in jax.tree.leaves(start))
    problem = HyperparameterTraining(family, PenaltyOfEach(size))
    return Implicit(problem, 1, 50, Endless(), solver=Neumann(3, step=0.1))


def run() -> Outcome:
    """Errors on the way."""
    method, classifier = estimator(FAMILY), FAMILY.classifier
    data = method.problem.load_data()
    batches = {name: whole(data, name) for name in ("train", "outer_valid", "test")}
    errors: dict[str, list[float]] = {name: [] for name in batches}
    like = jax.eval_shape(classifier.init, jax.random.key(0))

    def note(step: OuterStep, pool: InProcessPool) -> None:
        if step.state.step % EVERY and step.state.step > 1:
            return
        params = params_in(pool, like)
        for name, batch in batches.items():
            errors[name].append(1 - classifier.accuracy(params, batch))

    tuned(method, OPTIMIZER, NUM_OUTER_STEPS, note)
    least = int(np.argmin(errors["outer_valid"]))
    return {
        "results": {
            "least_held_out_error": errors["outer_valid"][least],
            "after_outer_steps": max(1, EVERY * least),
            "last_errors": {name: each[-1] for name, each in errors.items()},
        },
        "errors": errors,
    }


def draw(outcome: Outcome, figure: Figure) -> None:
    """Errors by outer step."""
    figure.set_size_inches(6.5, 3.6)
    axes = figure.subplots()
    names = {"train": "50 to train on", "outer_valid": "50 for the outer loss", "test": "others"}
    for name, label in names.items():
        errors = outcome["errors"][name]
        axes.plot([1, *range(EVERY, NUM_OUTER_STEPS + 1, EVERY)], errors, "o-", ms=3, label=label)
    axes.set(xlabel="outer step", ylabel="share classified wrongly", ylim=(-0.03, 1))
    axes.legend()
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    command(run, draw)
