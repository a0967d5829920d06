"""Hundreds to thousands of hyper-parameters at a time, on handwritten digits.

    python recipes/many_hyperparameters.py [--only images examples penalties] [--json FILE]

images      ten images are learned such that training on them alone, for 20 steps, classifies digits
            (Maclaurin et al. 2015, https://arxiv.org/abs/1502.03492, section 3.3)
examples    weights of 800 examples are learned, half of which have a wrong label (Franceschi et al.
            2017, https://arxiv.org/abs/1703.01785, section 5.1)
penalties   a penalty for each of 4,810 parameters is learned, and over-fits 50 held-out examples
            (Lorraine et al. 2020, https://arxiv.org/abs/1911.02590, section 5.1)

What came of them is in docs/reproductions.md.
"""

import dataclasses
import json as json_module
import pathlib
import time
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import taskset
from metaopt import dynamics
from metaopt.domains import AtLeast, Budget, Positive
from metaopt.estimators import FullBackprop, GradientEstimator, Implicit
from metaopt.horizons import Endless, Fixed
from metaopt.hyperparameter_training import HyperparameterTraining, Training
from metaopt.hyperparameters import Hyperparameter
from metaopt.learner import Learner, OuterStep, meta_train
from metaopt.linear_solvers import Neumann
from metaopt.outer_optimizer import OuterOptimizer
from taskset.base import Batch
from workers.local import InProcessPool
from workers.worker import WorkerSpec

FAMILY = taskset.build("mlp:dataset=digits")
PIXELS, CLASSES = 64, 10


def images_of(batch: Batch) -> jax.Array:
    """[num_examples, 64], from 0 to 1."""
    return batch["image"].astype(jnp.float32) / 255


def cross_entropies(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Of each example, in nats."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


@dataclasses.dataclass(frozen=True)
class Softmax(Training):
    """Softmax regression that starts at zeros, by damped momentum."""

    rate: float = 1.0

    def hyperparameters(self) -> Any:
        raise NotImplementedError

    def init(self, values: Any, task: Any, key: Any) -> Any:
        return {"weight": jnp.zeros((PIXELS, CLASSES)), "bias": jnp.zeros(CLASSES)}

    def logits(self, params: Any, images: jax.Array) -> jax.Array:
        """[num_images, 10]."""
        return images @ params["weight"] + params["bias"]

    def outer_loss(self, values: Any, task: Any, params: Any, batch: Any, key: Any) -> jax.Array:
        return jnp.mean(cross_entropies(self.logits(params, images_of(batch)), batch["label"]))

    def accuracy(self, params: Any, batch: Batch) -> float:
        """The share of `batch` that is classified correctly."""
        right = jnp.argmax(self.logits(params, images_of(batch)), axis=1) == batch["label"]
        return float(jnp.mean(right))

    def dynamics(self, values: Any) -> dynamics.Momentum:
        return dynamics.Momentum(self.rate, 0.9, damped=True)


@dataclasses.dataclass(frozen=True)
class Images(Softmax):
    """Trains on ten images, one a digit; what is in them is tuned, and a penalty."""

    def hyperparameters(self) -> Any:
        images = Hyperparameter(0.0, shape=(CLASSES, PIXELS), spread=0.01)
        return {"images": images, "penalty": Hyperparameter(0.01, Positive())}

    def inner_loss(self, values: Any, task: Any, params: Any, batch: Any, key: Any) -> jax.Array:
        losses = cross_entropies(self.logits(params, values["images"]), jnp.arange(CLASSES))
        return jnp.mean(losses) + values["penalty"] * jnp.sum(jnp.square(params["weight"]))


NUM_TRAIN = 800


def corrupted() -> tuple[np.ndarray, np.ndarray]:
    """Which of the examples have a wrong label, and by how much it is off."""
    draw = np.random.RandomState(0)
    wrong = draw.permutation(NUM_TRAIN) < NUM_TRAIN // 2
    return wrong, np.where(wrong, draw.randint(1, CLASSES, NUM_TRAIN), 0)


@dataclasses.dataclass(frozen=True)
class Examples(Softmax):
    """Trains on examples with weights of at most half their number, which are tuned."""

    def hyperparameters(self) -> Any:
        budget = Budget(NUM_TRAIN / 2)
        return {"weights": Hyperparameter(0.5, budget, (NUM_TRAIN,))}

    def inner_loss(self, values: Any, task: Any, params: Any, batch: Any, key: Any) -> jax.Array:
        labels = (batch["label"][:NUM_TRAIN] + jnp.asarray(corrupted()[1])) % CLASSES
        losses = cross_entropies(self.logits(params, images_of(batch)[:NUM_TRAIN]), labels)
        return 2 * jnp.mean(values["weights"] * losses)


HIDDEN, FEW = 64, 50


@dataclasses.dataclass(frozen=True)
class Penalties(Softmax):
    """An MLP on 50 examples, with a penalty for each of its 4,810 parameters."""

    rate: float = 1e-4

    def hyperparameters(self) -> Any:
        size = PIXELS * HIDDEN + HIDDEN + HIDDEN * CLASSES + CLASSES
        return {"penalties": Hyperparameter(0.97, AtLeast(0.0), (size,), spread=0.29)}

    def init(self, values: Any, task: Any, key: Any) -> Any:
        keys = jax.random.split(key, 2)
        sizes = (PIXELS, HIDDEN), (HIDDEN, CLASSES)
        draw = lambda key, shape: jax.random.normal(key, shape) * shape[0] ** -0.5
        layers = [draw(key, shape) for key, shape in zip(keys, sizes, strict=True)]
        return {"layers": layers, "biases": [jnp.zeros(HIDDEN), jnp.zeros(CLASSES)]}

    def logits(self, params: Any, images: jax.Array) -> jax.Array:
        (first, last), (bias, last_bias) = params["layers"], params["biases"]
        return jax.nn.elu(2 * images @ first - jnp.sum(first, 0) + bias) @ last + last_bias

    def inner_loss(self, values: Any, task: Any, params: Any, batch: Any, key: Any) -> jax.Array:
        few = jax.tree.map(lambda x: x[:FEW], batch)
        flat = jnp.concatenate([x.reshape(-1) for x in jax.tree.leaves(params)])
        return self._mean(params, few) + jnp.sum(values["penalties"] * jnp.square(flat))

    def outer_loss(self, values: Any, task: Any, params: Any, batch: Any, key: Any) -> jax.Array:
        return self._mean(params, jax.tree.map(lambda x: x[:FEW], batch))

    def _mean(self, params: Any, batch: Batch) -> jax.Array:
        return jnp.mean(cross_entropies(self.logits(params, images_of(batch)), batch["label"]))

    def dynamics(self, values: Any) -> dynamics.Adam:
        return dynamics.Adam(self.rate, epsilon=1e-12)


def tuned(
    estimator: GradientEstimator,
    optimizer: OuterOptimizer,
    num_steps: int,
    on_step: Callable[[OuterStep, InProcessPool], None] = lambda step, pool: None,
) -> Any:
    """The meta-parameters after `num_steps` outer steps, by one worker in this process."""
    problem = estimator.problem
    assert isinstance(problem, HyperparameterTraining)
    pool = InProcessPool([WorkerSpec(0, "digits", estimator, seed=0)])
    learner = Learner(optimizer, num_steps)
    start = learner.init(problem.start(problem.load_data(), jax.random.key(0)))
    watch = lambda step: on_step(step, pool)
    end = meta_train(learner, start, pool, project=problem.project, on_step=watch)
    return end.meta_params


def trained(problem: HyperparameterTraining, meta_params: Any, num_steps: int) -> Any:
    """The parameters at the end of a run."""

    @jax.jit
    def run(meta_params: Any, data: Any) -> Any:
        key = jax.random.key(0)
        step = lambda _, state: problem.advance(meta_params, state, data, key)
        start = problem.init(meta_params, data, key)
        return jax.lax.fori_loop(0, num_steps, step, start).params

    return run(meta_params, problem.load_data())


def learn_images() -> dict[str, Any]:
    """Training images, and how well they teach."""
    problem = HyperparameterTraining(FAMILY, Images(), "whole")
    estimator = FullBackprop(problem, 1, Fixed(20), objective="final")
    meta_params = tuned(estimator, OuterOptimizer(learning_rate=0.05), 200)
    data = problem.load_data()
    train, test = data.whole("train"), data.whole("test")
    labels, pixels = np.asarray(train["label"]), np.asarray(images_of(train))
    images = np.asarray(problem.values(meta_params)["images"])
    means = np.stack([pixels[labels == digit].mean(0) for digit in range(CLASSES)])
    kept = means.std(0) > 0
    correlations = [np.corrcoef(a[kept], b[kept])[0, 1] for a, b in zip(images, means, strict=True)]
    firsts = np.stack([pixels[labels == digit][0] for digit in range(CLASSES)])
    of_examples = {**meta_params, "images": jnp.asarray(firsts)}
    accuracy = lambda at: problem.training.accuracy(trained(problem, at, 20), test)
    return {
        "test_accuracy": accuracy(meta_params),
        "of_ten_examples": accuracy(of_examples),
        "least_correlation_with_class_mean": min(correlations),
        "negative_pixels": int(np.sum(images < 0)),
    }


def clean_examples() -> dict[str, Any]:
    """Weights of examples, and which labels they take for wrong."""
    problem = HyperparameterTraining(FAMILY, Examples(), "whole")
    estimator = FullBackprop(problem, 1, Fixed(200), objective="final")
    meta_params = tuned(estimator, OuterOptimizer(learning_rate=0.02), 150)
    wrong, _ = corrupted()
    weights = np.asarray(problem.values(meta_params)["weights"])
    dropped = weights < 1e-3
    hits = np.sum(dropped & wrong)
    precision, recall = hits / max(1, np.sum(dropped)), hits / np.sum(wrong)
    test = problem.load_data().whole("test")
    accuracy = lambda weights: problem.training.accuracy(
        trained(problem, {"weights": jnp.asarray(weights, jnp.float32)}, 200), test
    )
    return {
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
        "precision": precision,
        "recall": recall,
        "test_accuracy": accuracy(weights),
        "all_examples": accuracy(np.full(NUM_TRAIN, 0.5)),
        "right_examples": accuracy(~wrong),
    }


def learn_penalties() -> dict[str, Any]:
    """Penalties, and the errors on held-out and test examples on the way."""
    problem = HyperparameterTraining(FAMILY, Penalties(), "whole")
    estimator = Implicit(problem, 1, 50, Endless(), solver=Neumann(3, step=0.1))
    data = problem.load_data()
    few = jax.tree.map(lambda x: x[:FEW], data.whole("outer_valid"))
    errors: dict[str, list[float]] = {"valid": [], "test": []}

    def note(step: OuterStep, pool: InProcessPool) -> None:
        if step.state.step in (1, 50, 100, 150, 200):
            state = pool.snapshot()[0]
            leaves = [jnp.asarray(x[0]) for path, x in state.items() if "/params/" in path]
            like = problem.init(step.state.meta_params, data, jax.random.key(0)).params
            params = jax.tree.unflatten(jax.tree.structure(like), leaves)
            for name, batch in (("valid", few), ("test", data.whole("test"))):
                errors[name].append(1 - problem.training.accuracy(params, batch))

    tuned(estimator, OuterOptimizer("rmsprop", 0.1), 200, note)
    return {"after_steps": [1, 50, 100, 150, 200], **{f"{k}_error": v for k, v in errors.items()}}


EXPERIMENTS = {"images": learn_images, "examples": clean_examples, "penalties": learn_penalties}


def main(
    only: tuple[str, ...] = tuple(EXPERIMENTS),
    json: Annotated[pathlib.Path | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Runs the experiments and prints what came of them."""
    results = {}
    for name in only:
        begun = time.process_time()
        found = EXPERIMENTS[name]()
        results[name] = {**found, "cpu_seconds": time.process_time() - begun}
        print(name, json_module.dumps(results[name], default=float), flush=True)
    if json:
        json.write_text(json_module.dumps(results, indent=2, default=float) + "\n")


if __name__ == "__main__":
    tyro.cli(main)
