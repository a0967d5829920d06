"""Learning rates and decays of every step and tensor, and the scale that each tensor starts with.

    python recipes/hypergradients/learned_schedules.py [--json FILE] [--picture FILE]

An MLP of three hidden layers trains for 100 steps; 1,608 hyper-parameters follow the gradient of
its final training loss, which comes back through the run in fixed point. Maclaurin et al. 2015
(https://arxiv.org/abs/1502.03492), section 3.2, on MNIST: initial scales become about fan-in^-1/2,
and learning rates fall at the end.
"""

import math

import jax
import numpy as np
from classification import Digits, whole
from matplotlib.figure import Figure
from outcome import Outcome, command
from tuning import problem_of, trained, tuned

from metaopt.estimators import ReversibleBackprop
from metaopt.horizons import Fixed
from metaopt.hyperparameter_training import HyperparameterTraining
from metaopt.learner import OuterStep
from metaopt.outer_optimizer import OuterOptimizer
from metaopt.trainings import Schedules

NUM_STEPS, NUM_OUTER_STEPS = 100, 50
OPTIMIZER = OuterOptimizer(learning_rate=0.04, options=(("b2", 0.99), ("eps", 1e-4)))
LAYERS = 4
# In the paper one. But once in 50 outer steps the gradient of one is a thousand times too long.
NUM_TASKS = 4


def estimator(family: Digits, num_tasks: int) -> ReversibleBackprop:
    """Of the loss on all training examples, by as many runs, new ones each time."""
    training = Schedules(
        NUM_STEPS,
        2 * LAYERS,
        ("learning_rate", "decay", "initial_scale"),
        learning_rate=math.exp(-1),
        decay=0.5,
        penalty=1e-12,  # none
        initial_scale=math.exp(-3),
        damped=True,
    )
    problem = HyperparameterTraining(family, training, outer_split="train")
    return ReversibleBackprop(problem, num_tasks, Fixed(NUM_STEPS), least_decay=0.1)


FAMILY = Digits(1300, 0, (50, 50, 50), "tanh", spread=1.0, batch_size=200)
WEIGHTS = slice(1, None, 2)  # of the tensors; the bias of a layer comes before its weight


def run() -> Outcome:
    """What was learned, and the training it makes."""
    method, key = estimator(FAMILY, NUM_TASKS), jax.random.key(0)
    problem = problem_of(method)
    data = problem.load_data()
    scales = []

    def note(step: OuterStep, _: object) -> None:
        scales.append(problem.values(step.state.meta_params)["initial_scale"][WEIGHTS])

    learned = tuned(method, OPTIMIZER, NUM_OUTER_STEPS, note)
    results: dict[str, object] = {}
    for name, meta_params in (("start", problem.start(data, key)), ("learned", learned)):
        params, classifier = trained(problem, meta_params, NUM_STEPS), FAMILY.classifier
        results[f"train_loss_{name}"] = classifier.loss(params, whole(data, "train"), key)
        results[f"test_accuracy_{name}"] = classifier.accuracy(params, whole(data, "test"))
    results["initial_scales"] = scales[-1]
    values = problem.values(learned)
    schedules = {name: values[name][:, WEIGHTS].T for name in ("learning_rate", "decay")}
    return {"results": results, **schedules, "initial_scales": np.transpose(scales)}


def draw(outcome: Outcome, figure: Figure) -> None:
    """Learning rates and decays of weights by step, their initial scales by outer step."""
    figure.set_size_inches(11, 3.4)
    rates, decays, scales = figure.subplots(1, 3)
    panels = ((rates, "learning_rate"), (decays, "decay"), (scales, "initial_scales"))
    for axes, name in panels:
        for index, curve in enumerate(outcome[name]):
            axes.plot(curve, label=f"layer {index + 1}", color=f"C{index}")
        axes.grid(alpha=0.3)
    rates.set(xlabel="inner step", ylabel="learning rate", title="of weights, learned")
    decays.set(xlabel="inner step", ylabel="decay of momentum", title="of weights, learned")
    scales.set(xlabel="outer step", ylabel="initial scale", yscale="log", title="of weights")
    for inputs, style in ((64, "--"), (50, ":")):
        scales.axhline(inputs**-0.5, color="0.4", linestyle=style, label=f"1/sqrt({inputs})")
    rates.legend(fontsize=8)
    scales.legend(fontsize=8)


if __name__ == "__main__":
    command(run, draw)
