"""A dropout rate that a self-tuning network finds from three starts.

    python recipes/hypergradients/tuned_dropout.py [--json FILE] [--picture FILE]

200 noisy digits to train on, and an MLP with the same rate at its inputs and hidden units. MacKay
et al. 2019 (https://arxiv.org/abs/1903.03088), section 4.3, on Penn Treebank: the rate follows the
same schedule from wherever it starts, and is better than any that stays. Beside it training of the
same length at rates of a grid.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from classification import Classifier, Digits, cross_entropies
from matplotlib.figure import Figure
from outcome import Outcome, command
from tuning import params_in, trained, tuned

from metaopt import hyperparameters
from metaopt.domains import Between
from metaopt.estimators import DirectGradient
from metaopt.horizons import Endless
from metaopt.hyperparameter_training import HyperparameterTraining, Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.inner_problem import InnerState
from metaopt.learner import OuterStep
from metaopt.outer_optimizer import OuterOptimizer
from metaopt.self_tuning import layers
from metaopt.self_tuning.layers import Draws
from metaopt.self_tuning.problem import RespondingTraining, SelfTuning
from metaopt.self_tuning.responses import BestResponse, Responsive
from taskset.base import Batch, Key, Params, Task
from workers.local import InProcessPool

NUM_OUTER_STEPS, INNER_STEPS, EVERY = 2500, 2, 50
STARTS, GRID = (0.05, 0.35, 0.8), (0.05, 0.2, 0.35, 0.5, 0.65, 0.8)
HIDDEN = 128
OPTIMIZER = OuterOptimizer(learning_rate=3e-3)
FAMILY = Digits(200, 500, (HIDDEN,), "relu", batch_size=50, noise=0.3)
Layer = Callable[[jax.Array], jax.Array]


def dropped(x: jax.Array, rate: jax.Array, key: Key) -> jax.Array:
    """`x` without a share of its entries, and the others as much larger."""
    kept = jax.random.uniform(key, x.shape) >= rate
    return jnp.where(kept, x / (1 - rate), 0)


@dataclasses.dataclass(frozen=True)
class Dropout(Training):
    """The same rate for inputs and hidden units, in training alone."""

    rate: float

    def hyperparameters(self) -> Hyperparameters:
        return {"rate": Hyperparameter(self.rate, Between(0.0, 0.95))}

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        key_inputs, key_hidden = jax.random.split(key)
        first, last = self.layers(params)
        hidden = jax.nn.relu(first(dropped(batch["image"], values["rate"], key_inputs)))
        logits = last(dropped(hidden, values["rate"], key_hidden))
        return jnp.mean(cross_entropies(logits, batch["label"]))

    def outer_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        first, last = self.layers(params)
        return jnp.mean(cross_entropies(last(jax.nn.relu(first(batch["image"]))), batch["label"]))

    def layers(self, params: Params) -> list[Layer]:
        """The functions of the two layers."""
        return [lambda x, p=p: x @ p["weight"] + p["bias"][None] for p in params]

    def dynamics(self, values: Values) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.05))


@dataclasses.dataclass(frozen=True)
class RespondingDropout(Dropout, RespondingTraining):
    """The same of a network that responds to the rate."""

    centred: bool = False

    def init(self, values: Values, task: Task, key: Key) -> BestResponse:
        assert isinstance(task, Classifier)
        keys = jax.random.split(key)
        sizes = zip(keys, task.sizes, task.sizes[1:], strict=False)
        made = [layers.init_dense(Draws(key, 1, self.centred), *size) for key, *size in sizes]
        return BestResponse.of_layers(dict(zip(("first", "last"), made, strict=True)))

    def layers(self, params: Responsive) -> list[Layer]:
        return [lambda x, p=params[name]: layers.dense(p, x) for name in ("first", "last")]


def estimator(family: Digits, start: float, centred: bool) -> DirectGradient:
    """Two steps of training for one of tuning."""
    training = RespondingDropout(start, centred)
    problem = SelfTuning(family, training, scale=0.5, entropy_weight=1e-3, centred=centred)
    return DirectGradient(problem, 1, INNER_STEPS, Endless())


def self_tuned(start: float, centred: bool) -> dict[str, list[float]]:
    """Rates and held-out losses on the way."""
    method, key = estimator(FAMILY, start, centred), jax.random.key(0)
    problem, data = method.problem, method.problem.load_data()
    assert isinstance(problem, SelfTuning)
    like = jax.eval_shape(problem.init, problem.start(data, key), data, key).params
    path: dict[str, list[float]] = {"rate": [], "held-out loss": []}

    def note(step: OuterStep, pool: InProcessPool) -> None:
        if step.state.step % EVERY:
            return
        meta_params, batch = step.state.meta_params, data.whole("outer_valid")
        state = InnerState(FAMILY.classifier, params_in(pool, like), None)
        values, at = problem.values(meta_params), problem.params(meta_params, state)
        loss = problem.training.outer_loss(values, state.task, at, batch, key)
        path["rate"].append(float(values["rate"]))
        path["held-out loss"].append(float(loss))

    tuned(method, OPTIMIZER, NUM_OUTER_STEPS, note)
    return path


def held_out_loss(rate: float) -> float:
    """Of training as long at a rate that stays."""
    problem, key = HyperparameterTraining(FAMILY, Dropout(GRID[0])), jax.random.key(0)
    meta_params = hyperparameters.start(Dropout(rate).hyperparameters(), key)
    params = trained(problem, meta_params, NUM_OUTER_STEPS * INNER_STEPS)
    return float(FAMILY.classifier.loss(params, problem.load_data().whole("outer_valid"), key))


def run() -> Outcome:
    """Three runs of either form, and the grid."""
    paths = {
        form: [self_tuned(start, form == "centred") for start in STARTS]
        for form in ("as published", "centred")
    }
    last = lambda name: {form: [np.mean(p[name][-5:]) for p in ps] for form, ps in paths.items()}
    return {
        "results": {
            "rates": last("rate"),
            "held_out_losses": last("held-out loss"),
            "held_out_losses_of_grid": {str(rate): held_out_loss(rate) for rate in GRID},
        },
        "paths": paths,
    }


def draw(outcome: Outcome, figure: Figure) -> None:
    """Rates by outer step, and held-out losses beside those of the grid."""
    figure.set_size_inches(9, 3.4)
    rates, losses = figure.subplots(1, 2)
    for form, style in (("as published", "-"), ("centred", ":")):
        for index, (start, path) in enumerate(zip(STARTS, outcome["paths"][form], strict=True)):
            steps = EVERY * np.arange(1, len(path["rate"]) + 1)
            label = f"from {start}, {form}"
            rates.plot([0, *steps], [start, *path["rate"]], style, color=f"C{index}", label=label)
            losses.plot(steps, path["held-out loss"], style, color=f"C{index}")
    best = min(outcome["results"]["held_out_losses_of_grid"].values())
    losses.axhline(best, color="0.4", linestyle="--", label="end of the best rate that stays")
    rates.set(ylabel="dropout rate", ylim=(0, 0.9))
    losses.set(ylabel="held-out loss", ylim=(0.8 * best, 2 * best))
    for axes in (rates, losses):
        axes.set_xlabel("outer step")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)


if __name__ == "__main__":
    command(run, draw)
