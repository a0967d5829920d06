"""How wide a self-tuning network has to look: what its response is like by the perturbations.

    python recipes/hypergradients/response_slope.py [--json FILE] [--picture FILE]

Ridge regression, whose best response to the logarithm of its penalty has a closed form; a linear
response is fitted at one penalty, under normal perturbations of three scales. MacKay et al. 2019
(https://arxiv.org/abs/1903.03088): where the scale is too small the value is right and the slope is
not, where it is too wide both are those of a line through a curve.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure
from outcome import Outcome, command
from tuning import trained

from metaopt.domains import Positive
from metaopt.hyperparameter_training import Training, Values
from metaopt.hyperparameters import Hyperparameter, Hyperparameters
from metaopt.inner_problem import InnerState
from metaopt.self_tuning.problem import SelfTuning
from taskset.base import Batch, Dataset, Key, Params, Task, TaskFamily
from taskset.data.arrays import ArrayDataset

DIM, NUM_STEPS, LOG_PENALTY = 8, 2000, -1.0
SCALES, SEEDS = (0.1, 0.5, 2.0), range(16)
AROUND = np.linspace(-4.0, 2.0, 61)  # logarithms of penalties, for the picture


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Regression(Task):
    """Half the mean squared error of a linear function."""

    def init(self, key: Key) -> Params:
        return jnp.zeros(DIM)

    def loss(self, params: Params, batch: Batch, key: Key) -> jax.Array:
        return 0.5 * jnp.mean(jnp.square(batch["x"] @ params - batch["y"]))


@dataclasses.dataclass(frozen=True)
class Regressions(TaskFamily):
    """16 examples to train on, whose labels are noisy, and 200 for the outer loss."""

    batch_size = 16

    def load_data(self) -> ArrayDataset:
        draw = np.random.RandomState(0)
        truth = draw.randn(DIM)
        arrays = {}
        for split, number in (("train", self.batch_size), ("outer_valid", 200)):
            x = draw.randn(number, DIM)
            arrays[split] = {"x": x, "y": x @ truth + 2 * draw.randn(number)}
        return ArrayDataset(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), arrays))

    def sample(self, data: Dataset, key: Key) -> Regression:
        return Regression()


@dataclasses.dataclass(frozen=True)
class Ridge(Training):
    """Clipped momentum on the loss and half a penalty times the squared norm."""

    def hyperparameters(self) -> Hyperparameters:
        return {"penalty": Hyperparameter(float(np.exp(LOG_PENALTY)), Positive())}

    def inner_loss(
        self, values: Values, task: Task, params: Params, batch: Batch, key: Key
    ) -> jax.Array:
        squares = jnp.sum(jnp.square(params))
        return task.loss(params, batch, key) + 0.5 * values["penalty"] * squares

    def dynamics(self, values: Values) -> optax.GradientTransformation:
        return optax.chain(optax.clip_by_global_norm(5.0), optax.sgd(0.005, momentum=0.9))


def best_response(train: Batch, log_penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """The minimum at a penalty, [DIM], and its derivative by the logarithm of the penalty."""
    x, y = np.asarray(train["x"]), np.asarray(train["y"])
    matrix = x.T @ x / len(y) + np.exp(log_penalty) * np.eye(DIM)
    minimum = np.linalg.solve(matrix, x.T @ y / len(y))
    return minimum, -np.linalg.solve(matrix, np.exp(log_penalty) * minimum)


def run() -> Outcome:
    """The slopes of three responses beside the exact one, and the outer losses along them."""
    family, key, at = Regressions(), jax.random.key(0), jnp.float32(LOG_PENALTY)
    data = family.load_data()
    valid = lambda params: Regression().loss(params, data.whole("outer_valid"), key)
    exact = lambda log_penalty: best_response(data.whole("train"), log_penalty)
    minimum, slope = (jnp.asarray(x, jnp.float32) for x in exact(LOG_PENALTY))
    results: dict[str, object] = {"hypergradient": jnp.vdot(jax.grad(valid)(minimum), slope)}
    along = lambda params: jax.vmap(lambda p: valid(params(p)))(jnp.asarray(AROUND, jnp.float32))
    losses = {"exact": [valid(jnp.asarray(exact(p)[0], jnp.float32)) for p in AROUND]}
    for scale in SCALES:
        problem = SelfTuning(family, Ridge(), "whole", scale=scale, tune_scales=False, groups=1)

        def fitted(seed: int, problem: SelfTuning = problem) -> Callable[[jax.Array], jax.Array]:
            params = trained(problem, {"penalty": at}, NUM_STEPS, seed)
            state = InnerState(Regression(), params, None)
            return lambda p: problem.params({"penalty": p}, state)

        responses = [fitted(seed) for seed in SEEDS]
        slopes = [jax.jacfwd(response)(at) for response in responses]
        norms = [jnp.linalg.norm(x) / jnp.linalg.norm(slope) for x in slopes]
        cosine = lambda x: jnp.vdot(x, slope) / jnp.linalg.norm(x) / jnp.linalg.norm(slope)
        results[f"scale {scale}"] = {
            "cosines_of_slopes": [cosine(x) for x in slopes],
            "ratios_of_slopes": norms,
            "hypergradients": [jax.grad(lambda p, of=r: valid(of(p)))(at) for r in responses],
        }
        losses[f"{scale}"] = along(responses[0])
    return {"results": results, "log_penalty": AROUND, "losses": losses}


def draw(outcome: Outcome, figure: Figure) -> None:
    """The outer loss along the exact response and along the fitted ones."""
    figure.set_size_inches(6.5, 3.8)
    axes = figure.subplots()
    for name, losses in outcome["losses"].items():
        label = "exact response" if name == "exact" else f"fitted at scale {name}"
        axes.plot(
            outcome["log_penalty"], losses, label=label, color="k" if name == "exact" else None
        )
    axes.axvline(LOG_PENALTY, color="0.6", linestyle=":")
    axes.set(xlabel="log of the penalty; fitted at the dotted line", ylabel="outer loss")
    axes.set_ylim(0, 1.6 * max(outcome["losses"]["exact"]))
    axes.legend()
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    command(run, draw)
