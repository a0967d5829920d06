"""Where the hyper-gradient of a learning rate stops to say anything.

    python recipes/hypergradients/chaos.py [--json FILE] [--picture FILE]

50 steps of gradient descent at learning rates on a grid: the gradient of the final loss, and the
slope between the neighbours. Maclaurin et al. 2015 (https://arxiv.org/abs/1502.03492), section 4:
beyond some rate training is chaotic, and the gradient huge.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from classification import Digits
from matplotlib.figure import Figure
from outcome import Outcome, command

from metaopt import dynamics
from metaopt.domains import Positive
from metaopt.estimators import FullBackprop
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters

NUM_STEPS, STEP = 50, 0.25
LOG_RATES = np.arange(-3.0, 2.01, STEP)
FAMILY = Digits(200, 0, (32,), "tanh")
AGREES, CHAOTIC = 0.15, 100.0  # relative error of a gradient that is of use; ratio to the slope


@dataclasses.dataclass(frozen=True)
class Descent(Training):
    """Gradient descent at one rate."""

    def hyperparameters(self) -> Hyperparameters:
        return {"rate": Hyperparameter(1.0, Positive())}

    def dynamics(self, values: Values) -> dynamics.GradientDescent:
        return dynamics.GradientDescent(values["rate"])


def run() -> Outcome:
    """Losses, gradients and slopes by the logarithm of the rate; and where they agree."""
    problem = HyperparameterTraining(FAMILY, Descent(), "whole", outer_split="train")
    method = FullBackprop(problem, 1, Fixed(NUM_STEPS), objective="final", remat="none")
    data = problem.load_data()

    @jax.jit
    @jax.vmap
    def estimate(log_rate: jax.Array) -> tuple[Any, Any]:
        found, _ = method.estimate({"rate": log_rate}, (), data, jax.random.key(0))
        return found.meta_loss, found.gradient["rate"]

    losses, gradients = (np.asarray(x) for x in estimate(jnp.asarray(LOG_RATES, jnp.float32)))
    slopes = (losses[2:] - losses[:-2]) / (2 * STEP)
    rates, gradients = LOG_RATES[1:-1], gradients[1:-1]
    errors, ratios = np.abs(gradients - slopes) / np.abs(slopes), np.abs(gradients / slopes)
    first_wrong = int(np.argmax(errors > AGREES))
    return {
        "results": {
            "agrees_up_to_log_rate": rates[first_wrong - 1],
            "largest_error_below": errors[:first_wrong].max(),
            "log_rates_of_chaos": rates[ratios > CHAOTIC],
            "largest_ratio": ratios.max(),
        },
        "log_rates": rates,
        "losses": losses[1:-1],
        "gradients": gradients,
        "slopes": slopes,
    }


def draw(outcome: Outcome, figure: Figure) -> None:
    """The loss, and the sizes of gradients and slopes."""
    figure.set_size_inches(9, 3.4)
    loss, size = figure.subplots(1, 2)
    rates = outcome["log_rates"]
    loss.plot(rates, outcome["losses"], "o-", ms=3, color="k")
    loss.set(ylabel="loss after 50 steps", yscale="log")
    size.plot(rates, np.abs(outcome["gradients"]), "o-", ms=3, label="hyper-gradient", color="C3")
    size.plot(rates, np.abs(outcome["slopes"]), "o-", ms=3, label="central difference", color="C0")
    size.set(ylabel="size of the derivative", yscale="log")
    size.legend()
    for axes in (loss, size):
        axes.axvline(outcome["results"]["agrees_up_to_log_rate"], color="0.6", linestyle=":")
        axes.set_xlabel("log of the learning rate; dotted: the last that agrees")
        axes.grid(alpha=0.3)


if __name__ == "__main__":
    command(run, draw)
